//! What a process of a container reads from and writes to.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use berth_sys::{Errno, Result};
use rustix::fs::{AtFlags, FileType, Gid, Uid};

/// Standard streams: three descriptors of the caller's, or a pseudo-terminal of the container's own.
#[derive(Debug, Clone, Copy)]
pub enum Stdio<'a> {
    /// Files, pipes or sockets; they stay the caller's.
    Streams {
        /// Descriptor 0.
        stdin: BorrowedFd<'a>,
        /// Descriptor 1.
        stdout: BorrowedFd<'a>,
        /// Descriptor 2.
        stderr: BorrowedFd<'a>,
    },
    /// A terminal is allocated inside the container, its master is handed back.
    Terminal {
        /// Rows and columns in character cells.
        size: Option<(u16, u16)>,
    },
}

impl Stdio<'_> {
    /// Gives pipes and sockets to the container's user, who may then reopen them as `/dev/stdout` and the like. Files
    /// and devices of the host stay whose they are.
    pub(crate) fn give_to(&self, uid: u32, gid: u32) -> Result<()> {
        let Stdio::Streams { stdin, stdout, stderr } = self else { return Ok(()) };
        for stream in [stdin, stdout, stderr] {
            let status = rustix::fs::fstat(stream)?;
            let kind = FileType::from_raw_mode(status.st_mode);
            if !matches!(kind, FileType::Fifo | FileType::Socket) || status.st_uid == uid {
                continue;
            }
            match rustix::fs::chownat(
                stream.as_fd(),
                c"",
                Some(Uid::from_raw(uid)),
                Some(Gid::from_raw(gid)),
                AtFlags::EMPTY_PATH,
            ) {
                // A pipe with a name on a read-only file system, or one that is not ours: it works as it is.
                Err(Errno::ROFS | Errno::PERM | Errno::INVAL) | Ok(()) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// In the new process: puts the streams at 0, 1 and 2. `slave` is the terminal, when there is one.
    pub(crate) fn place(&self, slave: Option<&OwnedFd>) -> Result<()> {
        let streams = match (self, slave) {
            (Stdio::Streams { stdin, stdout, stderr }, _) => [*stdin, *stdout, *stderr],
            (Stdio::Terminal { .. }, Some(slave)) => [slave.as_fd(); 3],
            (Stdio::Terminal { .. }, None) => return Err(Errno::NOTTY),
        };
        // A stream may itself be descriptor 1 or 2: copies above keep it safe while the others are placed.
        let mut copies = Vec::with_capacity(3);
        for stream in streams {
            copies.push(rustix::io::fcntl_dupfd_cloexec(stream, 3)?);
        }
        for (number, copy) in copies.iter().enumerate() {
            berth_sys::descriptor::place_at(copy.as_fd(), number as i32)?;
        }
        Ok(())
    }
}
