//! Namespaces: join, leave, name (`setns(2)`, `unshare(2)`, `sethostname(2)`, `setdomainname(2)`).

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{Result, check};

/// `CLONE_NEW*` bits by namespace.
pub mod bit {
    /// Mounts.
    pub const MOUNT: u64 = libc::CLONE_NEWNS as u64;
    /// Control-group root.
    pub const CGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
    /// Host and domain name.
    pub const UTS: u64 = libc::CLONE_NEWUTS as u64;
    /// System V IPC and POSIX queues.
    pub const IPC: u64 = libc::CLONE_NEWIPC as u64;
    /// Ids and capabilities.
    pub const USER: u64 = libc::CLONE_NEWUSER as u64;
    /// Process ids.
    pub const PID: u64 = libc::CLONE_NEWPID as u64;
    /// Network stack.
    pub const NETWORK: u64 = libc::CLONE_NEWNET as u64;
    /// Offsets of the monotonic and boot clocks.
    pub const TIME: u64 = 0x80;
}

/// Joins namespaces: one when `of` is a namespace file, all of `kinds` at once when it is a pidfd.
/// `EINVAL` when a user or mount namespace is asked for by a process with more than one thread.
pub fn join(of: BorrowedFd<'_>, kinds: u64) -> Result<()> {
    // SAFETY: plain integers; memory is not touched.
    check(unsafe { libc::setns(of.as_raw_fd(), kinds as libc::c_int) }.into())?;
    Ok(())
}

/// Moves the caller into new namespaces (for PID and TIME: its future children).
pub fn unshare(kinds: u64) -> Result<()> {
    // SAFETY: only CLONE_NEW* bits are meant; with CLONE_FILES the descriptor table would become private, no worse.
    check(unsafe { libc::unshare(kinds as libc::c_int) }.into())?;
    Ok(())
}

/// Sets the host name of the caller's UTS namespace (at most 64 bytes).
pub fn set_host_name(name: &[u8]) -> Result<()> {
    // SAFETY: pointer and length describe the slice.
    check(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) }.into())?;
    Ok(())
}

/// Sets the NIS domain name of the caller's UTS namespace (at most 64 bytes).
pub fn set_domain_name(name: &[u8]) -> Result<()> {
    // SAFETY: pointer and length describe the slice.
    check(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) }.into())?;
    Ok(())
}
