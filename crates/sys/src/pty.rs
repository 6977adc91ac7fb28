//! Pseudo-terminals: allocate one from a given devpts instance, size it, make it the controlling terminal.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;

use crate::{Result, check};

/// The two ends of a pseudo-terminal.
#[derive(Debug)]
pub struct Pair {
    /// The engine's end.
    pub master: OwnedFd,
    /// The container's end.
    pub slave: OwnedFd,
}

/// Allocates a pair from the devpts whose `ptmx` node is `name` below `directory`. Neither end becomes the
/// controlling terminal. The slave is opened through the master, so that no path can be swapped underneath.
pub fn open_at(directory: BorrowedFd<'_>, name: &str) -> Result<Pair> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    rustix::pty::unlockpt(&master)?;
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(master.as_fd(), peer)?;
    Ok(Pair { master, slave })
}

/// Allocates a pair from the caller's `/dev/ptmx`.
pub fn open() -> Result<Pair> {
    open_at(rustix::fs::CWD, "/dev/ptmx")
}

/// Sets the window size in character cells. Either end will do.
pub fn resize(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<()> {
    let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(terminal, size)
}

/// Makes `slave` the controlling terminal of the session that the caller leads.
pub fn make_controlling(slave: BorrowedFd<'_>) -> Result<()> {
    // SAFETY: TIOCSCTTY takes an integer.
    check(unsafe { libc::ioctl(slave.as_raw_fd(), libc::TIOCSCTTY, 0) }.into())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_end_writes_the_other_reads() {
        let Ok(pair) = open() else {
            eprintln!("skipped: no devpts here");
            return;
        };
        resize(pair.master.as_fd(), 24, 80).expect("resize");
        let size = rustix::termios::tcgetwinsize(&pair.slave).expect("size");
        assert_eq!((size.ws_row, size.ws_col), (24, 80));
        rustix::io::write(&pair.slave, b"hello\n").expect("write");
        let mut buffer = [0u8; 16];
        let read = rustix::io::read(&pair.master, &mut buffer).expect("read");
        assert_eq!(&buffer[..read], b"hello\r\n");
    }
}
