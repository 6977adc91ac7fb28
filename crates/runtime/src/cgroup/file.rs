//! Control files: read whole, written in one write, always relative to the descriptor of a hierarchy.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::{read, write};

/// Control files are short; a `memory.stat` or an `io.stat` of a big machine may pass this, never a limit.
const CHUNK_BYTES: usize = 4096;
/// More than any control file holds: a bound, so that a wrong file cannot fill memory.
const MAX_BYTES: usize = 4 << 20;

/// Reads the whole of `path` below `root`.
pub(super) fn read_text(root: BorrowedFd<'_>, path: &str) -> io::Result<String> {
    let fd = openat(root, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = vec![0; CHUNK_BYTES];
    let mut filled = 0;
    loop {
        match read(&fd, &mut bytes[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(rustix::io::Errno::INTR) => continue,
            Err(e) => return Err(e.into()),
        }
        if filled == bytes.len() {
            if filled >= MAX_BYTES {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            bytes.resize(filled * 2, 0);
        }
    }
    bytes.truncate(filled);
    String::from_utf8(bytes).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Writes `value` to `path` below `root` in one `write(2)`: the kernel takes each write as one whole value.
pub(super) fn write_text(root: BorrowedFd<'_>, path: &str, value: &str) -> io::Result<()> {
    Writer::open(root, path)?.write(value)
}

/// A control file that takes several values one after another, such as `devices.allow`.
pub(super) struct Writer(rustix::fd::OwnedFd);

impl Writer {
    /// Opens `path` below `root` for writing.
    pub(super) fn open(root: BorrowedFd<'_>, path: &str) -> io::Result<Self> {
        // Never O_CREAT: a control file that is not there is a controller that is not there.
        Ok(Writer(openat(root, path, OFlags::WRONLY | OFlags::CLOEXEC | OFlags::TRUNC, Mode::empty())?))
    }

    /// Hands one value to the kernel.
    pub(super) fn write(&self, value: &str) -> io::Result<()> {
        loop {
            match write(&self.0, value.as_bytes()) {
                Ok(n) if n == value.len() => return Ok(()),
                Ok(_) => return Err(io::ErrorKind::WriteZero.into()),
                Err(rustix::io::Errno::INTR) => continue,
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// Whether `path` exists below `root`.
pub(super) fn exists(root: BorrowedFd<'_>, path: &str) -> bool {
    rustix::fs::accessat(root, path, rustix::fs::Access::EXISTS, rustix::fs::AtFlags::empty()).is_ok()
}

/// Reads one number; cgroup v2's "max" is [`u64::MAX`], as is v1's "unlimited" of a negative value.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    match text.trim() {
        "max" | "-1" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Splits lines of `key value` into pairs, leaving out what is not a number.
pub(super) fn parse_pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, parse_number(value)?))
    })
}
