//! Whole ranges of descriptors, and their place in the table.

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{Result, check};

/// `CLOSE_RANGE_CLOEXEC`.
const CLOSE_ON_EXEC: libc::c_uint = 4;

/// Marks every descriptor from `first` on as close-on-exec (`close_range(2)`), so that none leaks into a container.
pub fn close_on_exec_from(first: u32) -> Result<()> {
    // SAFETY: changes flags only; nothing is closed.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, CLOSE_ON_EXEC) })?;
    Ok(())
}

/// Closes every descriptor from `first` to `last`, both included.
///
/// # Safety
/// No live `OwnedFd` may be in that range.
pub unsafe fn close_between(first: u32, last: u32) -> Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: the caller vouches that nobody owns these.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
    Ok(())
}

/// Makes number `number` (0, 1, 2: the standard streams) another name of `fd`, without close-on-exec.
pub fn place_at(fd: BorrowedFd<'_>, number: i32) -> Result<()> {
    if fd.as_raw_fd() == number {
        // SAFETY: clears FD_CLOEXEC of a descriptor that is open for the length of the call.
        check(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }.into())?;
        return Ok(());
    }
    // SAFETY: dup2 replaces `number` atomically; standard streams are owned by nobody in Rust's sense.
    check(unsafe { libc::dup2(fd.as_raw_fd(), number) }.into())?;
    Ok(())
}
