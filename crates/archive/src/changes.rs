//! What a container changed: its upper directory compared with the layers below.

use std::os::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    unix::ffi::OsStringExt,
};
use std::{ffi::OsString, path::PathBuf};

use berth_sys::user_namespace::overlay_attribute;
use rustix::{
    fs::{FileType, Stat},
    io::Errno,
};

use crate::{
    Error, Result,
    pack::{has_xattr, names, open_directory, stat},
};

/// How a path differs; the numbers are the Engine API's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was there, and is another or has another content.
    Modified = 0,
    /// It was not there.
    Added = 1,
    /// It is there no more.
    Deleted = 2,
}

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute, as the container sees it.
    pub path: PathBuf,
    /// How.
    pub kind: ChangeKind,
}

/// Deepest directory that is compared.
const DEPTH_MAX: u32 = 512;

/// The changes in `upper` against `lowers`, top first, in order of their paths.
///
/// # Errors
/// [`Error::Entry`] when something cannot be read, [`Error::Limit`] for too deep a tree.
pub fn diff(upper: BorrowedFd<'_>, lowers: &[BorrowedFd<'_>]) -> Result<Vec<Change>> {
    let mut found = Vec::new();
    directory(upper, lowers, &mut b"/".to_vec(), &mut found, 0)?;
    Ok(found)
}

fn directory(
    upper: BorrowedFd<'_>,
    lowers: &[BorrowedFd<'_>],
    path: &mut Vec<u8>,
    found: &mut Vec<Change>,
    depth: u32,
) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Error::Limit { what: "directories above an entry", limit: DEPTH_MAX.into() });
    }
    for name in names(upper).map_err(|errno| Error::entry("read", path, errno))? {
        let length = path.len();
        path.extend_from_slice(&name);
        entry(upper, lowers, &name, path, found, depth)?;
        path.truncate(length);
    }
    Ok(())
}

fn entry(
    upper: BorrowedFd<'_>,
    lowers: &[BorrowedFd<'_>],
    name: &[u8],
    path: &mut Vec<u8>,
    found: &mut Vec<Change>,
    depth: u32,
) -> Result<()> {
    let failed = |errno: Errno| Error::entry("compare", name, errno);
    let Some(now) = stat(upper, name).map_err(failed)? else { return Ok(()) };
    let before = visible(lowers, name).map_err(failed)?;
    let change = |kind| Change { path: PathBuf::from(OsString::from_vec(path.clone())), kind };
    if is_whiteout(&now) {
        if before.is_some() {
            found.push(change(ChangeKind::Deleted));
        }
        return Ok(());
    }
    let is_same = before.as_ref().is_some_and(|before| is_same(before, &now));
    if is_same && !is_directory(&now) {
        return Ok(());
    }
    let own = found.len();
    found.push(change(if before.is_some() { ChangeKind::Modified } else { ChangeKind::Added }));
    if !is_directory(&now) {
        return Ok(());
    }
    let below = open_directory(upper, name).map_err(failed)?;
    let merged =
        if before.as_ref().is_some_and(is_directory) { stack(lowers, name).map_err(failed)? } else { Vec::new() };
    let merged: Vec<BorrowedFd<'_>> = merged.iter().map(AsFd::as_fd).collect();
    path.push(b'/');
    if has_xattr(upper, name, &overlay_attribute("opaque"), Some(b"y")).map_err(failed)? {
        hidden(below.as_fd(), &merged, path, found).map_err(failed)?;
    }
    directory(below.as_fd(), &merged, path, found, depth + 1)?;
    if is_same && found.len() == own + 1 {
        // Overlay copied the directory up, or a process made it anew, and nothing came of it.
        found.pop();
    }
    Ok(())
}

/// Whether an entry was copied up without change. As with Docker, a directory's time and size do not count.
fn is_same(before: &Stat, now: &Stat) -> bool {
    let owner = |stat: &Stat| (stat.st_mode, stat.st_uid, stat.st_gid, stat.st_rdev);
    let contents = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    owner(before) == owner(now) && (is_directory(now) || contents(before) == contents(now))
}

/// An opaque directory deletes what lay in the one it replaces, without a whiteout for each name.
fn hidden(
    upper: BorrowedFd<'_>,
    lowers: &[BorrowedFd<'_>],
    path: &[u8],
    found: &mut Vec<Change>,
) -> rustix::io::Result<()> {
    let mut gone = Vec::new();
    for lower in lowers {
        gone.extend(names(*lower)?);
    }
    gone.sort_unstable();
    gone.dedup();
    for name in gone {
        if stat(upper, &name)?.is_none() && visible(lowers, &name)?.is_some() {
            let path = PathBuf::from(OsString::from_vec([path, &name].concat()));
            found.push(Change { path, kind: ChangeKind::Deleted });
        }
    }
    Ok(())
}

/// What the layers show at `name`.
fn visible(lowers: &[BorrowedFd<'_>], name: &[u8]) -> rustix::io::Result<Option<Stat>> {
    for lower in lowers {
        if let Some(found) = stat(*lower, name)? {
            return Ok(Some(found).filter(|found| !is_whiteout(found)));
        }
    }
    Ok(None)
}

/// The directories that overlay merges at `name`, top first.
fn stack(lowers: &[BorrowedFd<'_>], name: &[u8]) -> rustix::io::Result<Vec<OwnedFd>> {
    let mut merged = Vec::new();
    for lower in lowers {
        match open_directory(*lower, name) {
            Ok(directory) => {
                merged.push(directory);
                if has_xattr(*lower, name, &overlay_attribute("opaque"), Some(b"y"))? {
                    break;
                }
            }
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(merged)
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_dir()
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}
