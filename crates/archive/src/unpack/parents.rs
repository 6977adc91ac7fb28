//! The directories above entries, opened below the root and kept open while entries stay near each other.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use berth_kit::guard::{Guard, stands};
use rustix::{
    fs::{Mode, OFlags, ResolveFlags},
    io::Errno,
};

use crate::{Error, Result};

/// Most directories kept open at a time.
const OPEN_MAX: usize = 48;
/// How often a resolution that raced a rename is tried again.
const RACE_RETRIES: u32 = 128;

/// Opens parents of entries. Links in the tree are followed as they would be with the root as `/`.
pub struct Parents<'r> {
    /// Where paths begin.
    start: BorrowedFd<'r>,
    /// What links take for `/`, and the way from there to `start`.
    root: BorrowedFd<'r>,
    way: Vec<u8>,
    /// Path and directory, each below the one before.
    open: Vec<(Vec<u8>, OwnedFd)>,
    /// Owner of directories that an archive leaves out.
    owner: (u32, u32),
}

pub const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

impl<'r> Parents<'r> {
    /// For entries below `root`.
    pub fn new(root: BorrowedFd<'r>, owner: (u32, u32)) -> Self {
        Self::below(root, b"", root, owner)
    }

    /// For entries below `start`, which lies at `way` below `root`.
    pub fn below(root: BorrowedFd<'r>, way: &[u8], start: BorrowedFd<'r>, owner: (u32, u32)) -> Self {
        Self { start, root, way: way.to_vec(), open: Vec::new(), owner }
    }

    /// Where paths begin.
    pub fn start(&self) -> BorrowedFd<'r> {
        self.start
    }

    /// Closes everything: call after an existing entry was removed, as it may have been one of these directories.
    pub fn forget(&mut self) {
        self.open.clear();
    }

    /// The directory at the clean path `path`; what is missing of it is made when `make` is set.
    pub fn open(&mut self, path: &[u8], make: bool) -> Result<BorrowedFd<'_>> {
        let is_above = |above: &[u8]| path == above || (path.starts_with(above) && path[above.len()] == b'/');
        while self.open.last().is_some_and(|(above, _)| !is_above(above)) {
            self.open.pop();
        }
        let mut end = self.open.last().map_or(0, |(above, _)| above.len());
        while end < path.len() {
            let start = if end == 0 { 0 } else { end + 1 };
            end = path[start..].iter().position(|byte| *byte == b'/').map_or(path.len(), |slash| start + slash);
            let parent = self.open.last().map_or(self.start, |(_, directory)| directory.as_fd());
            let opened = self.step(parent, &path[..end], &path[start..end], make);
            let opened = opened.map_err(|errno| Error::entry("open the directory", &path[..end], errno))?;
            if self.open.len() == OPEN_MAX {
                self.open.remove(0);
            }
            self.open.push((path[..end].to_vec(), opened));
        }
        Ok(self.open.last().map_or(self.start, |(_, directory)| directory.as_fd()))
    }

    fn step(&self, parent: BorrowedFd<'_>, path: &[u8], name: &[u8], make: bool) -> rustix::io::Result<OwnedFd> {
        match rustix::fs::openat(parent, name, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) if make => {
                match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno),
                }
                let made = rustix::fs::openat(parent, name, DIRECTORY, Mode::empty())?;
                rustix::fs::fchmod(&made, Mode::from_raw_mode(0o755))?;
                super::place::chown(made.as_fd(), self.owner)?;
                Ok(made)
            }
            Err(Errno::LOOP | Errno::NOTDIR) => open_in_root(self.root, &[&self.way[..], b"/", path].concat()),
            other => other,
        }
    }
}

/// The directory at `path`, with the root as `/` for every link on the way (openat2(2), RESOLVE_IN_ROOT).
pub fn open_in_root(root: BorrowedFd<'_>, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    if !stands(Guard::ArchiveBeneath) {
        let place = [format!("/proc/self/fd/{}/", root.as_raw_fd()).as_bytes(), path].concat();
        return rustix::fs::open(&place[..], flags, Mode::empty());
    }
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..RACE_RETRIES {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return other,
        }
    }
    Err(Errno::AGAIN)
}
