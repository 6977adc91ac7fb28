//! The engine's own monitor with a real kernel: on the KVM of a QEMU guest, which interprets a processor with hardware
//! virtualization (nested SVM). That is slow and real.
//!
//! ```text
//! this test (host) ─► QEMU, TCG, EPYC with SVM ─► Debian's kernel, kvm_amd ─► this program again (`inside`)
//!                                                                                  ─► berth vmm ─► Debian's kernel, agent
//! ```
//!
//! `make test-vm` runs it. With `BERTH_TEST_BESIDE_QEMU` the outer machine has QEMU, too, and both monitors are measured.

mod beside;
mod host;
mod inside;
mod machine;

/// What each line of the guest's report begins with.
const REPORT: &str = "NESTED:";
/// Its last line, when all went well.
const DONE: &str = "NESTED: done";

#[test]
fn a_real_kernel_runs_on_our_own_monitor() {
    if std::env::var_os("BERTH_TEST_VM").is_none() {
        println!("skipped: machines are tried by make test-vm");
        return;
    }
    let program = match host::berth() {
        Some(program) => program,
        None => {
            println!("skipped: BERTH_TEST_BINARY names no program");
            return;
        }
    };
    match host::Prepared::new(&program) {
        Ok(prepared) => {
            let said = prepared.run();
            said.lines().filter(|line| line.contains(REPORT)).for_each(|line| println!("{line}"));
            assert!(said.contains(DONE), "{said}");
        }
        Err(why) => println!("skipped: {why}"),
    }
}

/// Runs in the guest, where `/nested` is this program.
#[test]
#[ignore = "the other test runs it inside of a guest"]
fn inside_of_a_guest() {
    inside::main();
}
