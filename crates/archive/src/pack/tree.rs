//! Any part of a tree as an archive, for export and for copies out of containers.

use std::{
    io::Write,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FileType, Stat},
    io::Errno,
};

use super::walk::{self, Packer};
use crate::{Error, IdShift, Result, path as clean_path, unpack::open_in_root};

/// What a tree becomes in an archive.
#[derive(Debug, Clone, Default)]
pub struct TreeOptions {
    /// Name of the topmost entry in the archive, `.` for `./…`. `None`: the contents alone, without the topmost entry.
    pub base: Option<String>,
    /// Clean paths, relative to the topmost directory, that are left out with all below.
    pub exclude: Vec<PathBuf>,
    /// From ids on disk to the archive's.
    pub shift: IdShift,
}

/// Where an entry lies: its directory, opened, and its name there (`.` for the root).
struct Place {
    directory: OwnedFd,
    name: Vec<u8>,
}

/// Resolves `path` below `root`: links on the way are followed with the root as `/`, the last component is not,
/// unless a slash or `/.` stands behind it.
fn place(root: BorrowedFd<'_>, path: &Path) -> Result<Place> {
    let raw = path.as_os_str().as_bytes();
    let failed = |errno: Errno| Error::entry("open", raw, errno);
    let bare = raw.strip_suffix(b".").filter(|rest| rest.ends_with(b"/")).unwrap_or(raw);
    let trimmed = &bare[..bare.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1)];
    let start = trimmed.iter().position(|byte| *byte != b'/').unwrap_or(trimmed.len());
    let relative = &trimmed[start..];
    let (parent, name) = clean_path::split(relative);
    let follow = bare.len() > trimmed.len() || matches!(name, b"" | b"." | b"..");
    let (parent, name): (&[u8], &[u8]) = if follow { (relative, b".") } else { (parent, name) };
    let parent: &[u8] = if parent.is_empty() { b"." } else { parent };
    Ok(Place { directory: open_in_root(root, parent).map_err(failed)?, name: name.to_vec() })
}

/// What lies at `path` below `root`, not followed, and the target when it is a symbolic link.
///
/// # Errors
/// [`Error::Entry`] with the errno when there is nothing or it cannot be looked at.
pub fn stat_entry(root: BorrowedFd<'_>, path: &Path) -> Result<(Stat, Option<Vec<u8>>)> {
    let failed = |errno: Errno| Error::entry("look at", path.as_os_str().as_bytes(), errno);
    let place = place(root, path)?;
    let stat = walk::stat(place.directory.as_fd(), &place.name).map_err(failed)?.ok_or_else(|| failed(Errno::NOENT))?;
    let target = if FileType::from_raw_mode(stat.st_mode).is_symlink() {
        Some(rustix::fs::readlinkat(&place.directory, &place.name[..], Vec::new()).map_err(failed)?.into_bytes())
    } else {
        None
    };
    Ok((stat, target))
}

/// Writes what lies at `path` below `root`, resolved as by [`stat_entry`], to `output`.
///
/// # Errors
/// [`Error::Entry`] when something cannot be read, [`Error::Limit`] for too deep a tree, [`Error::Write`].
pub fn tree<W: Write>(root: BorrowedFd<'_>, path: &Path, output: W, options: &TreeOptions) -> Result<W> {
    let failed = |errno: Errno| Error::entry("read", path.as_os_str().as_bytes(), errno);
    let place = place(root, path)?;
    let open = place.directory.as_fd();
    let stat = walk::stat(open, &place.name).map_err(failed)?.ok_or_else(|| failed(Errno::NOENT))?;
    let mut pack = Pack { packer: Packer::new(output, options.shift), options };
    let mut name = Vec::new();
    if let Some(base) = &options.base {
        name.extend_from_slice(base.trim_end_matches('/').as_bytes());
        let shown: &[u8] = if name.is_empty() { b"/" } else { &name };
        pack.packer.add(open, &place.name, shown, &stat)?;
    }
    if FileType::from_raw_mode(stat.st_mode).is_dir() {
        let top = walk::open_directory(open, &place.name).map_err(failed)?;
        if options.base.is_some() {
            name.push(b'/');
        }
        let base_length = name.len();
        pack.directory(top.as_fd(), &mut name, base_length, 0)?;
    }
    pack.packer.finish()
}

struct Pack<'o, W> {
    packer: Packer<W>,
    options: &'o TreeOptions,
}

impl<W: Write> Pack<'_, W> {
    fn directory(&mut self, open: BorrowedFd<'_>, path: &mut Vec<u8>, base: usize, depth: u32) -> Result<()> {
        if depth > walk::DEPTH_MAX {
            return Err(Error::Limit { what: "directories above an entry", limit: walk::DEPTH_MAX.into() });
        }
        let names = walk::names(open).map_err(|errno| Error::entry("read", path, errno))?;
        for name in names {
            let length = path.len();
            path.extend_from_slice(&name);
            let excluded = self.options.exclude.iter().any(|out| out.as_os_str().as_bytes() == &path[base..]);
            if !excluded {
                self.entry(open, &name, path, base, depth)?;
            }
            path.truncate(length);
        }
        Ok(())
    }

    fn entry(&mut self, open: BorrowedFd<'_>, name: &[u8], path: &mut Vec<u8>, base: usize, depth: u32) -> Result<()> {
        let stat = walk::stat(open, name).map_err(|errno| Error::entry("read", path, errno))?;
        let Some(stat) = stat else { return Ok(()) };
        self.packer.add(open, name, path, &stat)?;
        if !FileType::from_raw_mode(stat.st_mode).is_dir() {
            return Ok(());
        }
        match walk::open_directory(open, name) {
            Ok(below) => {
                path.push(b'/');
                self.directory(below.as_fd(), path, base, depth + 1)
            }
            // A process in the tree replaced it meanwhile.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(errno) => Err(Error::entry("read", path, errno)),
        }
    }
}
