//! `clone3(2)`: a new process in new namespaces, inside its control group from its first instruction.
//!
//! Fork semantics only (no shared memory, no new stack). The caller must be single-threaded: the child keeps running
//! Rust code, and a lock that another thread held at that moment would stay locked for ever.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::{Result, check};

/// What the child gets of its own. Bits are those of `clone(2)` (`CLONE_NEW*`).
#[derive(Debug, Default)]
pub struct Clone3<'a> {
    /// `CLONE_NEW*` bits; `CLONE_PIDFD` and `CLONE_INTO_CGROUP` are added here.
    pub flags: u64,
    /// Directory of a version 2 control group to be born in.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// The child becomes the caller's sibling: its parent is the caller's, who must collect it.
    pub sibling: bool,
}

/// On which side of the clone the caller now is.
#[derive(Debug)]
pub enum Side {
    /// The new process.
    Child,
    /// The old one.
    Parent {
        /// The child's id in the caller's pid namespace.
        pid: i32,
        /// A descriptor of the child (close-on-exec); readable when it has ended.
        pidfd: OwnedFd,
    },
}

/// `CLONE_INTO_CGROUP` of `linux/sched.h`.
const CLONE_INTO_CGROUP: u64 = 1 << 33;

/// The kernel's `struct clone_args`, version 2 (88 bytes, with `cgroup`).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Makes the child process. Its end is told to the parent with `SIGCHLD`.
///
/// # Safety
/// The caller's process must have one thread only, and the child must end by `execve` or `_exit`: it must not return
/// into code that expects to run once.
pub unsafe fn clone3(request: &Clone3<'_>) -> Result<Side> {
    let mut pidfd: libc::c_int = -1;
    let mut arguments = CloneArgs {
        flags: request.flags | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = request.cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    if request.sibling {
        // The kernel takes the signal of the caller's own end, and wants none stated.
        arguments.flags |= libc::CLONE_PARENT as u64;
        arguments.exit_signal = 0;
    }
    // SAFETY: the struct is alive and its size is stated; without CLONE_VM the child has its own copy of all memory.
    let returned = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArgs>()) };
    match check(returned)? {
        0 => Ok(Side::Child),
        pid => {
            // SAFETY: CLONE_PIDFD stored a fresh descriptor there, which nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Side::Parent { pid: pid as i32, pidfd })
        }
    }
}

/// The old `fork(2)`: for a process whose system-call filter may refuse `clone3`. 0 in the child.
///
/// # Safety
/// As for [`clone3`].
pub unsafe fn fork() -> Result<i32> {
    // SAFETY: the caller vouches for a single thread and for the child's end.
    Ok(check(unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) })? as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_runs_and_its_code_is_collected() {
        // SAFETY: the child calls nothing but _exit.
        match unsafe { clone3(&Clone3::default()) }.expect("clone3") {
            // SAFETY: ends the child at once, without running destructors of the copied process.
            Side::Child => unsafe { libc::_exit(7) },
            Side::Parent { pid, pidfd } => {
                assert!(pid > 0);
                let end = crate::pidfd::wait(std::os::fd::AsFd::as_fd(&pidfd)).expect("wait");
                assert_eq!(end, crate::pidfd::Ended::Code(7));
            }
        }
    }
}
