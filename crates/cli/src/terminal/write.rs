//! Writing to stdout and stderr without holding up the runtime when their reader is slow.

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::Write;
use std::os::fd::AsFd;

/// A write of up to this many bytes does not block once the descriptor is ready (pipe(7): `PIPE_BUF`).
const ATOMIC_BYTES: usize = 4096;

/// One of the two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Out,
    /// Standard error.
    Error,
}

/// Writes all of `bytes` to `target`.
///
/// # Errors
/// What the kernel says; `BrokenPipe` when the reader is gone.
pub async fn all(target: Target, bytes: Bytes) -> std::io::Result<()> {
    if bytes.len() <= ATOMIC_BYTES && ready(target) {
        return now(target, &bytes);
    }
    tokio::task::spawn_blocking(move || now(target, &bytes)).await.unwrap_or_else(|e| Err(std::io::Error::other(e)))
}

fn now(target: Target, bytes: &[u8]) -> std::io::Result<()> {
    match target {
        Target::Out => {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes)?;
            out.flush()
        }
        Target::Error => std::io::stderr().lock().write_all(bytes),
    }
}

fn ready(target: Target) -> bool {
    let (out, error) = (std::io::stdout(), std::io::stderr());
    let fd = match target {
        Target::Out => out.as_fd(),
        Target::Error => error.as_fd(),
    };
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
    let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut fds, Some(&zero)), Ok(1))
}
