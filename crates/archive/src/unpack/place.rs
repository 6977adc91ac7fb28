//! Makes one entry by its name in an open directory. Nothing here follows a link or opens what was there before.

use std::{
    io::Read,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, SeekFrom, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};

use super::parents::DIRECTORY;
use crate::{
    Error, IdShift, Result,
    tar::{Entry, Kind, Reader, Run},
};

/// Deepest tree that is removed to make place for an entry.
const REMOVE_DEPTH_MAX: u32 = 512;

/// What lies at a name, without following it.
pub fn existing(directory: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Option<rustix::fs::Stat>> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Makes the entry `name` in `directory`, where nothing is (for a directory: where perhaps a directory is).
/// Hard links are not for here. A directory's time is left to the caller, as its contents still change it.
pub fn make<R: Read>(
    directory: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    reader: &mut Reader<R>,
    shift: IdShift,
) -> Result<()> {
    let failed = |act| move |errno: Errno| Error::entry(act, &entry.path, errno);
    let owner = shift.to_disk((entry.uid, entry.gid));
    match entry.kind {
        Kind::File => {
            let file = write_file(directory, name, entry, reader)?;
            finish_open(file.as_fd(), entry, owner).map_err(failed("set the attributes of"))?;
            rustix::fs::futimens(&file, &times(entry)).map_err(failed("set the time of"))
        }
        Kind::Directory => {
            let opened = match rustix::fs::mkdirat(directory, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => rustix::fs::openat(directory, name, DIRECTORY, Mode::empty()),
                Err(errno) => Err(errno),
            };
            let opened = opened.map_err(failed("create"))?;
            finish_open(opened.as_fd(), entry, owner).map_err(failed("set the attributes of"))
        }
        Kind::Symlink => {
            rustix::fs::symlinkat(&entry.link[..], directory, name).map_err(failed("create"))?;
            finish_named(directory, name, entry, owner).map_err(failed("set the attributes of"))
        }
        Kind::CharDevice | Kind::BlockDevice | Kind::Fifo => {
            let (kind, device) = match entry.kind {
                Kind::CharDevice => (FileType::CharacterDevice, device_number(entry)),
                Kind::BlockDevice => (FileType::BlockDevice, device_number(entry)),
                _ => (FileType::Fifo, 0),
            };
            rustix::fs::mknodat(directory, name, kind, Mode::RUSR, device).map_err(failed("create"))?;
            finish_named(directory, name, entry, owner).map_err(failed("set the attributes of"))
        }
        Kind::HardLink => Err(Error::hostile(&entry.path, "a hard link where none is expected")),
    }
}

fn device_number(entry: &Entry) -> u64 {
    rustix::fs::makedev(entry.device.0, entry.device.1)
}

fn write_file<R: Read>(
    directory: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    reader: &mut Reader<R>,
) -> Result<OwnedFd> {
    let failed = |act| move |errno: Errno| Error::entry(act, &entry.path, errno);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR).map_err(failed("create"))?;
    let mut ends_in_hole = false;
    while let Some(run) = reader.run()? {
        match run {
            Run::Data(mut bytes) => {
                while !bytes.is_empty() {
                    match rustix::io::write(&file, bytes) {
                        Ok(length) => bytes = &bytes[length..],
                        Err(Errno::INTR) => {}
                        Err(errno) => return Err(failed("write")(errno)),
                    }
                }
                ends_in_hole = false;
            }
            Run::Hole(length) => {
                let length = i64::try_from(length).map_err(|_| failed("write")(Errno::FBIG))?;
                rustix::fs::seek(&file, SeekFrom::Current(length)).map_err(failed("write"))?;
                ends_in_hole = true;
            }
        }
    }
    if ends_in_hole {
        rustix::fs::ftruncate(&file, entry.size).map_err(failed("write"))?;
    }
    Ok(file)
}

/// Owner, mode and extended attributes, in the order in which the kernel keeps them: changing the owner clears
/// set-id bits and file capabilities (chown(2), capabilities(7)).
pub fn finish_open(file: BorrowedFd<'_>, entry: &Entry, owner: (u32, u32)) -> rustix::io::Result<()> {
    chown(file, owner)?;
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode & 0o7777))?;
    for (name, value) in entry.xattrs.iter().filter(|(name, _)| is_welcome(name)) {
        kept(rustix::fs::fsetxattr(file, &name[..], value, XattrFlags::empty()))?;
    }
    Ok(())
}

/// As [`finish_open`] for what must not be opened: links, devices, pipes; and the time.
fn finish_named(
    directory: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    (uid, gid): (u32, u32),
) -> rustix::io::Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chownat(directory, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
    if entry.kind != Kind::Symlink {
        // Made a moment ago and never a link; in a live tree a swap could only aim at the tree's own entries, so
        // the mode is set through a descriptor of the very node.
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = rustix::fs::openat(directory, name, flags, Mode::empty())?;
        let mode = Mode::from_raw_mode(entry.mode & 0o7777);
        if !FileType::from_raw_mode(rustix::fs::fstat(&node)?.st_mode).is_symlink() {
            rustix::fs::chmod(format!("/proc/self/fd/{}", node.as_raw_fd()), mode)?;
        }
    }
    for (key, value) in entry.xattrs.iter().filter(|(key, _)| is_welcome(key)) {
        let path = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat();
        kept(rustix::fs::lsetxattr(&path[..], &key[..], value, XattrFlags::empty()))?;
    }
    rustix::fs::utimensat(directory, name, &times(entry), AtFlags::SYMLINK_NOFOLLOW)
}

/// Attributes that an image may carry. `trusted.*` steers overlay itself, `security.*` other than file capabilities
/// belongs to this host's policy.
fn is_welcome(name: &[u8]) -> bool {
    let is_user = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
    is_user || name == b"security.capability" || name.starts_with(b"system.posix_acl_")
}

/// A file system without such attributes is no reason to refuse an image; a wrong value is.
fn kept(outcome: rustix::io::Result<()>) -> rustix::io::Result<()> {
    match outcome {
        // The kernel answers EPERM for user.* on links and devices (xattr(7)).
        Err(Errno::NOTSUP | Errno::PERM) => Ok(()),
        other => other,
    }
}

pub fn chown(file: BorrowedFd<'_>, (uid, gid): (u32, u32)) -> rustix::io::Result<()> {
    rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
}

/// The modification time of an entry, which is its access time too.
pub fn times(entry: &Entry) -> Timestamps {
    times_of(entry.mtime)
}

pub fn times_of((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    let at = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: at, last_modification: at }
}

/// Removes what lies at `name`, a whole tree if need be, without following anything.
pub fn remove(directory: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<()> {
    remove_at(directory, name, 0)
}

fn remove_at(directory: BorrowedFd<'_>, name: &[u8], depth: u32) -> rustix::io::Result<()> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(Errno::NOENT) => return Ok(()),
        other => return other,
    }
    if depth > REMOVE_DEPTH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    let below = rustix::fs::openat(directory, name, DIRECTORY, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&below)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            remove_at(below.as_fd(), name, depth + 1)?;
        }
    }
    rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)
}
