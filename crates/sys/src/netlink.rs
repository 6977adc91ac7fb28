//! Options of netlink sockets (`netlink(7)`).

use std::os::fd::{AsRawFd, BorrowedFd};

use crate::{Result, check};

/// Asks the kernel to explain refusals in words, and to leave the refused message out of its answer
/// (`NETLINK_EXT_ACK`, `NETLINK_CAP_ACK`; Linux 4.12 and 4.3).
pub fn explain_errors(socket: BorrowedFd<'_>) -> Result<()> {
    for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_CAP_ACK] {
        set(socket, option)?;
    }
    Ok(())
}

/// Asks the kernel to honour the filters in a dump's request (`NETLINK_GET_STRICT_CHK`; Linux 4.20).
pub fn check_strictly(socket: BorrowedFd<'_>) -> Result<()> {
    set(socket, libc::NETLINK_GET_STRICT_CHK)
}

fn set(socket: BorrowedFd<'_>, option: libc::c_int) -> Result<()> {
    let on: libc::c_int = 1;
    let length = std::mem::size_of_val(&on) as libc::socklen_t;
    // SAFETY: pointer and length describe `on`, which lives through the call.
    let returned = unsafe {
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_NETLINK, option, std::ptr::from_ref(&on).cast(), length)
    };
    check(returned.into())?;
    Ok(())
}
