//! Making the standard streams of a process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags},
    io::Result,
    pipe::PipeFlags,
};

use crate::isolation::Stdio;

/// The supervisor's ends, non-blocking; a terminal's comes with the process.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub stdin: Option<OwnedFd>,
    pub stdout: Option<OwnedFd>,
    pub stderr: Option<OwnedFd>,
}

/// Which streams are connected; the others are `/dev/null`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub stdin: bool,
    pub output: bool,
}

/// Both sides of a process's streams.
pub(super) fn open(tty: bool, size: Option<(u16, u16)>, wanted: Wanted) -> Result<(Stdio, Ends)> {
    if tty {
        return Ok((Stdio::Terminal { size }, Ends::default()));
    }
    let (stdin, stdin_end) = if wanted.stdin {
        let (theirs, ours) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        set_nonblocking(ours.as_fd())?;
        (theirs, Some(ours))
    } else {
        (null()?, None)
    };
    let output = || {
        if !wanted.output {
            return Ok((None, null()?));
        }
        let (ours, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        set_nonblocking(ours.as_fd())?;
        Ok((Some(ours), theirs))
    };
    let ((stdout_end, stdout), (stderr_end, stderr)) = (output()?, output()?);
    let ends = Ends { stdin: stdin_end, stdout: stdout_end, stderr: stderr_end };
    Ok((Stdio::Pipes { stdin, stdout, stderr }, ends))
}

/// `/dev/null`.
pub(super) fn null() -> Result<OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// Reads and writes return `EAGAIN` instead of waiting.
pub(super) fn set_nonblocking(descriptor: BorrowedFd<'_>) -> Result<()> {
    let flags = rustix::fs::fcntl_getfl(descriptor)?;
    rustix::fs::fcntl_setfl(descriptor, flags | OFlags::NONBLOCK)
}
