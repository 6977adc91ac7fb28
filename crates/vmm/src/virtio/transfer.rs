//! Bytes between descriptors and the guest's memory, without a copy in between.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use super::{Part, chain::slices};
use crate::memory::Memory;

/// `IOV_MAX`.
const VECTORS_MAX: usize = 1024;

/// Which way, and from which offset; none for what has no offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the descriptor into the guest's memory.
    In(Option<u64>),
    /// From the guest's memory to the descriptor.
    Out(Option<u64>),
}

/// One call; how many bytes went over. More parts than one call takes are left out.
pub fn once(fd: BorrowedFd<'_>, memory: &Memory, parts: &[Part], direction: Direction) -> io::Result<usize> {
    let slices = slices(memory, &parts[..parts.len().min(VECTORS_MAX)]);
    let guards: Vec<_> = slices.iter().map(|slice| (slice.ptr_guard_mut(), slice.len())).collect();
    let vectors: Vec<libc::iovec> =
        guards.iter().map(|(guard, len)| libc::iovec { iov_base: guard.as_ptr().cast(), iov_len: *len }).collect();
    let (fd, at, count) = (fd.as_raw_fd(), vectors.as_ptr(), vectors.len() as libc::c_int);
    loop {
        // SAFETY: each vector is a checked slice of guest memory, which `memory` keeps mapped during the call; it is
        // only ever accessed as volatile memory, so that the kernel may read and write it at any time.
        let moved = unsafe {
            match direction {
                Direction::In(None) => libc::readv(fd, at, count),
                Direction::In(Some(offset)) => libc::preadv(fd, at, count, offset as libc::off_t),
                Direction::Out(None) => libc::writev(fd, at, count),
                Direction::Out(Some(offset)) => libc::pwritev(fd, at, count, offset as libc::off_t),
            }
        };
        match usize::try_from(moved) {
            Ok(moved) => return Ok(moved),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
        }
    }
}

/// All of it, at an offset of a file. What lies behind the file's end is an error.
pub fn whole(fd: BorrowedFd<'_>, memory: &Memory, parts: &[Part], direction: Direction) -> io::Result<()> {
    let mut left = parts.to_vec();
    let mut direction = direction;
    while !left.is_empty() {
        let moved = once(fd, memory, &left, direction)?;
        if moved == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left = super::chain::cut(&left, moved, usize::MAX);
        direction = match direction {
            Direction::In(offset) => Direction::In(offset.map(|offset| offset + moved as u64)),
            Direction::Out(offset) => Direction::Out(offset.map(|offset| offset + moved as u64)),
        };
    }
    Ok(())
}
