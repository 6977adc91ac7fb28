//! Installing a system-call filter (`seccomp(2)`, classic BPF).

use std::os::fd::{FromRawFd, OwnedFd};

use crate::{Errno, Result, check};

/// Flags of `SECCOMP_SET_MODE_FILTER`.
pub mod flag {
    /// Log every action but ALLOW.
    pub const LOG: u64 = libc::SECCOMP_FILTER_FLAG_LOG;
    /// Do not switch on the mitigation of speculative store bypass.
    pub const SPEC_ALLOW: u64 = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    /// Return a listener for NOTIFY actions.
    pub const NEW_LISTENER: u64 = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    /// The target of a NOTIFY waits killably.
    pub const WAIT_KILLABLE: u64 = 1 << 5;
}

/// Installs a filter for the caller. It needs `no_new_privs` or `CAP_SYS_ADMIN` (else `EACCES`). `EINVAL` when the
/// program is empty, malformed or longer than 4,096 instructions. Returns the listener when one was asked for.
pub fn install(program: &[libc::sock_filter], flags: u64) -> Result<Option<OwnedFd>> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let header = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: the kernel copies the program during the call and does not write to it.
    let returned =
        check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const header) })?;
    if flags & flag::NEW_LISTENER == 0 {
        return Ok(None);
    }
    // SAFETY: with NEW_LISTENER the call returned a fresh descriptor.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(returned as i32) }))
}
