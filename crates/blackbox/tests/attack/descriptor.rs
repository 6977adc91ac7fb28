//! Descriptors of the host that the engine was started with, as a way out.

use berth_blackbox::{Bundle, command};
use serde_json::json;

use crate::arena::{attack, breached_if, is_full};
use crate::canary::SECRET;
use crate::held;

/// A call of the runtime with the host's root open under every number from 3 to 1024.
fn call_with_leaks(bundle: &Bundle, arguments: &[&str]) -> command::Output {
    let call = bundle.command(arguments);
    let mut shell = std::process::Command::new("bash");
    let leak = "ulimit -n 4096; for n in {3..1024}; do eval \"exec $n</\"; done; exec \"$@\"";
    shell.args(["-c", leak, "bash"]).arg(call.get_program()).args(call.get_args());
    shell.envs(call.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command::run(shell, b"")
}

#[test]
fn cve_2024_21626_leaked_descriptor_as_working_directory() {
    let usual: Vec<u32> = (3..=12).chain([63, 255, 1023, 1024]).collect();
    let numbers: Vec<u32> = if is_full() { (3..=1024).collect() } else { usual };
    attack(&["cwd-inside"], |arena| {
        // Seen from the host's root.
        let script = format!("cat .{}/secret; ls -l /proc/self/fd | wc -l", arena.canary.text());
        let mut bundle = arena.bundle(&script);
        for number in &numbers {
            bundle.spec["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
            bundle.store();
            let folder = bundle.path("").display().to_string();
            let output = call_with_leaks(&bundle, &["run", "--bundle", &folder, &bundle.id()]);
            let reached = output.text().contains(SECRET);
            held!(breached_if(reached, format!("descriptor {number} led to the host's root")));
        }
        bundle.spec["process"]["cwd"] = json!("/");
        bundle.spec["process"]["args"] = json!(["sleep", "60"]);
        assert!(bundle.create(&[]).0);
        bundle.call(&["start", &bundle.id()]).ok();
        for number in ["7", "63"] {
            let cwd = format!("/proc/self/fd/{number}");
            let output = call_with_leaks(&bundle, &["exec", "--cwd", &cwd, &bundle.id(), "sh", "-c", &script]);
            held!(breached_if(output.text().contains(SECRET), format!("exec: descriptor {number} led to the host")));
        }
        let open = call_with_leaks(&bundle, &["exec", &bundle.id(), "sh", "-c", "ls /proc/self/fd | wc -l"]).ok();
        breached_if(open != "4", format!("the program was given descriptors: {open}"))
    });
}
