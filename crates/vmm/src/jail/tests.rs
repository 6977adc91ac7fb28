//! The walls stand: tried in processes of their own, which are lost to everything else.

use std::process::Command;

use super::*;

/// Set in the process that gives everything up; names what it tries.
const TRY: &str = "BERTH_VMM_JAIL_TRY";

/// Runs the test `walls` again in a process of its own; its exit code, `None` when it was killed.
fn attempt(what: &str) -> Option<i32> {
    let program = std::env::current_exe().expect("own path");
    let mut command = Command::new(program);
    command.args(["--exact", "jail::tests::walls", "--test-threads=1", "--nocapture"]).env(TRY, what);
    command.output().expect("runs").status.code()
}

#[test]
fn walls() {
    let Some(what) = std::env::var_os(TRY) else {
        let landlock = Path::new("/sys/kernel/security/lsm").exists()
            && std::fs::read_to_string("/sys/kernel/security/lsm").is_ok_and(|names| names.contains("landlock"));
        assert_eq!(attempt("nothing"), Some(7), "what is allowed goes on");
        assert_eq!(attempt("socket"), None, "a call that is not in the table ends the process");
        assert_eq!(attempt("ioctl"), None, "so does an ioctl that is not");
        if landlock {
            assert_eq!(attempt("file"), Some(8), "files are closed");
        } else {
            println!("skipped: no Landlock here to try files with");
        }
        return;
    };
    let directory = tempfile::tempdir().expect("tempdir");
    close_files(Some(directory.path())).expect("files");
    close_calls().expect("calls");
    let code = match what.to_str() {
        Some("socket") => {
            let _ = std::os::unix::net::UnixStream::pair();
            1
        }
        Some("ioctl") => {
            let _ = rustix::termios::tcgetattr(std::io::stdin());
            1
        }
        Some("file") => {
            std::fs::write(directory.path().join("snapshot"), "kept").expect("a file of a snapshot");
            if std::fs::read("/proc/self/status").is_err() && std::fs::File::open("/etc/hostname").is_err() {
                8
            } else {
                1
            }
        }
        _ => 7,
    };
    std::process::exit(code);
}
