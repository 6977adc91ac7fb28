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
    let filters: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if let Err(why) = sandbox::usable() {
        println!("skipped: {why}");
        return;
    }
    let all: Vec<Test> = [
        test_process::TESTS,
        test_namespace::TESTS,
        test_identity::TESTS,
        test_mount::TESTS,
        test_exec::TESTS,
        test_speed::TESTS,
    ]
    .concat();
    let mut failed = Vec::new();
    let mut run = 0;
    for (name, test) in all {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        run += 1;
        let passed = catch_unwind(AssertUnwindSafe(test)).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(name);
        }
    }
    sandbox::remove_cgroup_parent();
    println!("\ntest result: {} passed; {} failed", run - failed.len(), failed.len());
    if !failed.is_empty() {
        println!("failures: {}", failed.join(", "));
        std::process::exit(1);
    }
}
