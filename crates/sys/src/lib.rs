//! Thin safe wrappers of the Linux calls that `rustix` lacks, or wraps in a shape a container engine cannot use.
//!
//! Every function is one system call (or the few that belong together), allocates nothing unless it says so, and
//! returns the bare [`Errno`]: the caller knows the act, the path and the container, and names them in its own error.
//! All of them may be called between `clone3` and `execve`. With the named init steps of `berth-runtime` this is the
//! only place of the engine that holds `unsafe` code; each block states why it is sound.

pub mod allocator;
pub mod bpf;
pub mod capability;
pub mod clone;
pub mod descriptor;
pub mod exe;
pub mod exec;
pub mod interface;
pub mod keyring;
#[cfg(target_arch = "x86_64")]
pub mod kvm;
pub mod loopback;
pub mod message;
pub mod mount;
pub mod namespace;
pub mod netlink;
pub mod network;
pub mod pidfd;
pub mod process;
pub mod program;
pub mod pty;
pub mod random;
pub mod schedule;
pub mod seccomp;
#[cfg(target_arch = "x86_64")]
pub mod tsc;
pub mod user_namespace;
pub mod verity;

pub use rustix::io::Errno;

/// The result of a wrapped call: the kernel's own error number, unadorned.
pub type Result<T> = std::result::Result<T, Errno>;

/// Turns a libc-style return value (-1 and `errno`) into a [`Result`].
pub(crate) fn check(returned: libc::c_long) -> Result<libc::c_long> {
    if returned < 0 {
        let raw = std::io::Error::last_os_error().raw_os_error();
        return Err(Errno::from_raw_os_error(raw.unwrap_or(libc::EIO)));
    }
    Ok(returned)
}
