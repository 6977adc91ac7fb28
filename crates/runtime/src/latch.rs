//! What holds a container back that outlives its maker: a named pipe that init reads one byte from.
//!
//! The process that makes a container for the OCI command line ends before the container is started, so the gate's
//! socket is of no use: `start` is another process, which knows nothing but a path.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use berth_sys::Errno;
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, openat, unlinkat};

use crate::error::{Error, Failure, Result};

/// The reading end, held by init until the container is started.
#[derive(Debug)]
pub struct Latch(OwnedFd);

impl Latch {
    /// Makes the pipe at `path`, whose directory only the engine may enter.
    pub fn make(path: &Path) -> Result<Self> {
        let make = || {
            mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
            // Open for both, it neither waits for a writer now nor sees an end of file when the maker is gone.
            openat(CWD, path, OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())
        };
        make().map(Self).map_err(Error::prepare("make the latch", path))
    }

    /// Lets the container go, and takes the pipe away: whoever comes next finds it started. [`std::io::ErrorKind::NotFound`]
    /// as the source when somebody was first.
    pub fn lift(path: &Path) -> Result<()> {
        let lift = || {
            let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
            let pipe = openat(CWD, path, flags, Mode::empty())?;
            // Of several that come at once one removes it.
            unlinkat(CWD, path, rustix::fs::AtFlags::empty())?;
            rustix::io::write(&pipe, b"1").map(drop)
        };
        lift().map_err(Error::prepare("lift the latch", path))
    }

    /// Waits in init; other signals than the deadly ones do not end it.
    pub(crate) fn wait(&self) -> std::result::Result<(), Failure> {
        loop {
            match rustix::io::read(self.0.as_fd(), &mut [0u8; 1]) {
                Ok(1..) => return Ok(()),
                Ok(0) => return Err(Failure::own("latch", Errno::PIPE, String::from("the latch was closed"))),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Failure::kernel("latch", "cannot wait to be started", errno)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lifts_it_and_the_next_finds_nothing() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("latch");
        let latch = Latch::make(&path).expect("make");
        Latch::lift(&path).expect("lift");
        latch.wait().expect("lifted");
        assert!(Latch::lift(&path).is_err());
        assert!(!path.exists());
    }
}
