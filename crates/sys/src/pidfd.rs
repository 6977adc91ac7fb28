//! Descriptors of processes: open, signal, wait (`pidfd_open(2)`, `pidfd_send_signal(2)`, `waitid(2)` with `P_PIDFD`).

use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::{Errno, Result, check};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Ended {
    /// The code a shell reports: the exit code, or 128 plus the signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Ended::Code(code) => code,
            Ended::Signal(signal) => 128 + signal,
        }
    }
}

/// A descriptor (close-on-exec) of the process `pid`; `ESRCH` when there is none.
pub fn open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: plain integers.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0u32) })?;
    // SAFETY: the call returned a fresh descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Sends `signal` (0 only probes); `ESRCH` when the process has been reaped.
pub fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo asks the kernel to fill it as kill(2) does.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, no_info, 0u32) })?;
    Ok(())
}

/// Waits for the end of a child and collects it.
pub fn wait(pidfd: BorrowedFd<'_>) -> Result<Ended> {
    loop {
        match wait_with(pidfd, libc::WEXITED) {
            Ok(Some(ended)) => return Ok(ended),
            Ok(None) | Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        }
    }
}

/// Collects a child when it has ended; `None` while it runs.
pub fn try_wait(pidfd: BorrowedFd<'_>) -> Result<Option<Ended>> {
    wait_with(pidfd, libc::WEXITED | libc::WNOHANG)
}

/// Collects any child that has ended; `None` when none has, `ECHILD` when there is no child at all.
pub fn reap_any() -> Result<Option<(i32, Ended)>> {
    let mut status = 0;
    // SAFETY: status is alive.
    let pid = check(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) }.into())? as i32;
    Ok(match pid {
        0 => None,
        pid if libc::WIFEXITED(status) => Some((pid, Ended::Code(libc::WEXITSTATUS(status)))),
        pid => Some((pid, Ended::Signal(libc::WTERMSIG(status)))),
    })
}

/// One `waitid`; `None` when nothing has ended yet.
fn wait_with(pidfd: BorrowedFd<'_>, options: libc::c_int) -> Result<Option<Ended>> {
    // SAFETY: all-zero is a valid siginfo_t.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: info is alive and of the right type.
    check(unsafe { libc::waitid(libc::P_PIDFD, pidfd.as_raw_fd() as libc::id_t, &raw mut info, options) }.into())?;
    // SAFETY: waitid fills the SIGCHLD member of the union, or leaves it zero.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok(match (pid, info.si_code) {
        (0, _) => None,
        (_, libc::CLD_EXITED) => Some(Ended::Code(status)),
        _ => Some(Ended::Signal(status)),
    })
}

/// The process's id as seen from the caller's pid namespace, from `/proc/self/fdinfo`; `ESRCH` when it has ended.
/// Allocates.
pub fn pid(pidfd: BorrowedFd<'_>) -> Result<i32> {
    let mut text = String::new();
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    std::fs::File::open(path)
        .and_then(|mut file| file.read_to_string(&mut text))
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    text.lines()
        .find_map(|line| line.strip_prefix("Pid:"))
        .and_then(|number| number.trim().parse().ok())
        .filter(|pid| *pid > 0)
        .ok_or(Errno::SRCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn own_descriptor_names_own_pid() {
        let own = std::process::id() as i32;
        let fd = open(own).expect("open");
        assert_eq!(pid(fd.as_fd()), Ok(own));
        assert_eq!(send_signal(fd.as_fd(), 0), Ok(()));
    }

    #[test]
    fn killed_child_is_reported_with_its_signal() {
        // SAFETY: the child only waits for its end.
        let side = unsafe { crate::clone::clone3(&crate::clone::Clone3::default()) }.expect("clone3");
        let fd = match side {
            crate::clone::Side::Parent { pidfd, .. } => pidfd,
            crate::clone::Side::Child => loop {
                // SAFETY: waits for a signal.
                unsafe { libc::pause() };
            },
        };
        assert_eq!(try_wait(fd.as_fd()), Ok(None));
        send_signal(fd.as_fd(), libc::SIGKILL).expect("kill");
        let ended = wait(fd.as_fd()).expect("wait");
        assert_eq!((ended, ended.shell_code()), (Ended::Signal(9), 137));
    }
}
