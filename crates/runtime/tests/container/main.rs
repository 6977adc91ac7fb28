//! Real containers, made by this process: it has one thread, as a supervisor does.
//!
//! Every test is a function; the list is at the end. `cargo test -p berth-runtime --test container -- NAME` runs some.

mod sandbox;
mod test_exec;
mod test_identity;
mod test_mount;
mod test_namespace;
mod test_process;
mod test_speed;

use std::panic::{AssertUnwindSafe, catch_unwind};

type Test = (&'static str, fn());

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let filters: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-') && *word != "terse").collect();
    let wanted = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|filter| if given("--exact") { name == *filter } else { name.contains(*filter) })
    };
    let all: Vec<Test> = [
        test_process::TESTS,
        test_namespace::TESTS,
        test_identity::TESTS,
        test_mount::TESTS,
        test_exec::TESTS,
        test_speed::TESTS,
    ]
    .concat();
    let chosen: Vec<Test> = all.into_iter().filter(|(name, _)| wanted(name) && !given("--ignored")).collect();
    if given("--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    run(&chosen);
}

fn run(tests: &[Test]) {
    if let Err(why) = sandbox::usable() {
        println!("skipped: {why}");
        return;
    }
    let mut failed = Vec::new();
    for (name, test) in tests {
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(*name);
        }
    }
    sandbox::remove_cgroup_parent();
    println!("\ntest result: {} passed; {} failed", tests.len() - failed.len(), failed.len());
    if !failed.is_empty() {
        println!("failures: {}", failed.join(", "));
        std::process::exit(1);
    }
}
