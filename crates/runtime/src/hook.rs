//! Hooks of the specification (`hooks`): programs of the caller's that run at points of a container's life.
//!
//! ```text
//!  namespaces and mounts made ─► prestart, createRuntime (maker) ─► createContainer (init, before the root changes)
//!  started ─► startContainer (init, confined like the program) ─► execve ─► poststart … deleted ─► poststop
//! ```
//! Each gets the container's state on its standard input. Source: OCI runtime specification, "POSIX-platform Hooks".

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};

use berth_sys::{Errno, pidfd};
use oci_spec::runtime::{Hook, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};

/// The most bytes of a failed hook's output that are told.
const OUTPUT_BYTES_MAX: u64 = 4096;

/// Runs hooks one after the other, up to the first that fails; the answer says which and why.
pub fn run(point: &str, hooks: Option<&Vec<Hook>>, state: &State) -> Result<(), String> {
    for (number, hook) in hooks.into_iter().flatten().enumerate() {
        one(hook, state).map_err(|why| format!("{point} hook #{number} ({}): {why}", hook.path().display()))?;
    }
    Ok(())
}

fn one(hook: &Hook, state: &State) -> Result<(), String> {
    let text = serde_json::to_vec(state).map_err(|error| error.to_string())?;
    let output = memfd_create("hook", MemfdFlags::CLOEXEC).map(File::from).map_err(|errno| errno.to_string())?;
    let (stdout, stderr) = (output.try_clone(), output.try_clone());
    let arguments = hook.args().as_deref().unwrap_or_default();
    let mut command = Command::new(hook.path());
    command.arg0(arguments.first().map_or(hook.path().as_os_str(), std::ffi::OsStr::new));
    command.args(arguments.iter().skip(1)).env_clear();
    command.envs(hook.env().iter().flatten().filter_map(|entry| entry.split_once('=')));
    command.stdin(Stdio::piped());
    command.stdout(stdout.map_err(|error| error.to_string())?).stderr(stderr.map_err(|error| error.to_string())?);
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read what it is told.
        let _ = stdin.write_all(&text);
    }
    let ended = wait(&mut child, hook.timeout()).map_err(|errno| errno.to_string())?;
    match ended {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{status}{}", said(output))),
        None => Err(format!("it did not end within {} s", hook.timeout().unwrap_or(0))),
    }
}

/// `None` when the time (in seconds) was over; the hook is dead then, too.
fn wait(child: &mut std::process::Child, timeout: Option<i64>) -> Result<Option<ExitStatus>, std::io::Error> {
    if let Some(seconds) = timeout.filter(|seconds| *seconds > 0) {
        let process = pidfd::open(child.id() as i32)?;
        let limit = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let mut watched = [PollFd::new(&process, PollFlags::IN)];
        let ready = loop {
            match poll(&mut watched, Some(&limit)) {
                Err(Errno::INTR) => {}
                other => break other?,
            }
        };
        if ready == 0 {
            let _ = pidfd::send_signal(process.as_fd(), libc::SIGKILL);
            child.wait()?;
            return Ok(None);
        }
    }
    child.wait().map(Some)
}

fn said(mut output: File) -> String {
    let mut bytes = Vec::new();
    let read = output.rewind().and_then(|()| output.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes));
    let text = String::from_utf8_lossy(&bytes);
    match (read, text.trim()) {
        (Ok(1..), text) if !text.is_empty() => format!(": {text}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(script: &str, timeout: Option<i64>) -> Vec<Hook> {
        let mut hook = serde_json::json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["WORD=here"]});
        if let Some(timeout) = timeout {
            hook["timeout"] = timeout.into();
        }
        vec![serde_json::from_value(hook).expect("hook")]
    }

    #[test]
    fn a_hook_gets_the_state_and_its_own_environment_only() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("seen");
        let mut state = State::default();
        state.set_id(String::from("box"));
        let script = format!("cat > {0}; echo $WORD$HOME >> {0}", path.display());
        run("createRuntime", Some(&hook(&script, None)), &state).expect("run");
        let seen = std::fs::read_to_string(path).expect("seen");
        assert!(seen.contains("\"id\":\"box\"") && seen.ends_with("here\n"), "{seen}");
    }

    #[test]
    fn what_fails_is_named_with_its_words() {
        let error =
            run("poststop", Some(&hook("echo broken >&2; exit 3", None)), &State::default()).expect_err("fails");
        assert_eq!(error, "poststop hook #0 (/bin/sh): exit status: 3: broken");
        let error = run("poststop", Some(&hook("sleep 60", Some(1))), &State::default()).expect_err("late");
        assert!(error.ends_with("it did not end within 1 s"), "{error}");
    }
}
