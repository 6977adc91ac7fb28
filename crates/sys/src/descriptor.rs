//! Whole ranges of descriptors, and their place in the table.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

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

/// Takes ownership of descriptor `number`, which another program passed (`sd_listen_fds(3)`), and marks it
/// close-on-exec. Call it once for each number.
pub fn take_inherited(number: i32) -> Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: changes a flag; fails with EBADF where the number is not open.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }.into())?;
    // SAFETY: the number is open, and was opened by nobody in this process.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(number) })
}

/// Takes an inherited descriptor by its number, once the program knows from its environment that it was passed one;
/// `None` when it is not open. It will not be inherited further.
pub fn adopt(number: i32) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    // SAFETY: sets FD_CLOEXEC if the descriptor is open, and fails otherwise.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) }.into()).ok()?;
    // SAFETY: it is open, and passed descriptors are owned by nobody in Rust's sense.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}
