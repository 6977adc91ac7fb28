//! What one directory entry becomes in an archive.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use berth_kit::guard::{Guard, stands};
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Stat},
    io::Errno,
};

use crate::{
    Error, IdShift, Result,
    tar::{Entry, Kind, Writer},
};

/// Deepest tree that is read.
pub const DEPTH_MAX: u32 = 512;
/// Longest list of attribute names, and longest attribute (xattr(7)).
const XATTR_BYTES_MAX: usize = 64 << 10;

/// Opens a directory for reading without following a link.
pub fn open_directory(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    let mut flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, stands(Guard::ArchiveBeneath));
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

/// The names in a directory, in order of their bytes.
pub fn names(directory: BorrowedFd<'_>) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What lies at `name`, without following it; `None` when it is gone.
pub fn stat(directory: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Option<Stat>> {
    match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Writes entries, with hard links for files met before.
pub struct Packer<W> {
    writer: Writer<W>,
    shift: IdShift,
    /// Device and inode of files with several names, to the first of them.
    links: HashMap<(u64, u64), Vec<u8>>,
}

impl<W: Write> Packer<W> {
    pub fn new(output: W, shift: IdShift) -> Self {
        Self { writer: Writer::new(output), shift, links: HashMap::new() }
    }

    /// Writes the entry at `name` in `directory` as `path`. Sockets are left out, and so is what vanishes meanwhile.
    pub fn add(&mut self, directory: BorrowedFd<'_>, name: &[u8], path: &[u8], stat: &Stat) -> Result<()> {
        let failed = |errno: Errno| Error::entry("read", path, errno);
        let Some(mut entry) = self.describe(path, stat) else { return Ok(()) };
        if entry.kind == Kind::File {
            if let Some(first) = self.first_name(path, stat) {
                (entry.kind, entry.link) = (Kind::HardLink, first);
                return self.writer.append(&entry, &mut io::empty());
            }
            let mut file = match open_file(directory, name) {
                Ok(file) => file,
                Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(failed(errno)),
            };
            entry.xattrs = open_xattrs(file.as_fd()).map_err(failed)?;
            return self.writer.append(&entry, &mut file);
        }
        if entry.kind == Kind::Symlink {
            entry.link = match rustix::fs::readlinkat(directory, name, Vec::new()) {
                Ok(target) => target.into_bytes(),
                Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(failed(errno)),
            };
        }
        entry.xattrs = named_xattrs(directory, name).map_err(failed)?;
        self.writer.append(&entry, &mut io::empty())
    }

    /// Writes an empty file: a whiteout.
    pub fn add_mark(&mut self, path: Vec<u8>, mtime: (i64, u32)) -> Result<()> {
        let mut entry = Entry::new(path, Kind::File);
        (entry.mode, entry.mtime) = (0, mtime);
        self.writer.append(&entry, &mut io::empty())
    }

    pub fn finish(self) -> Result<W> {
        self.writer.finish()
    }

    fn first_name(&mut self, path: &[u8], stat: &Stat) -> Option<Vec<u8>> {
        if stat.st_nlink < 2 {
            return None;
        }
        let key = (stat.st_dev, stat.st_ino);
        if let Some(first) = self.links.get(&key) {
            return Some(first.clone());
        }
        self.links.insert(key, path.to_vec());
        None
    }

    /// The entry that `stat` amounts to, but for its link and attributes; `None` for a socket.
    pub fn describe(&self, path: &[u8], stat: &Stat) -> Option<Entry> {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Symlink,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket | FileType::Unknown => return None,
        };
        let mut entry = Entry::new(path, kind);
        if kind == Kind::Directory && !entry.path.ends_with(b"/") {
            entry.path.push(b'/');
        }
        if kind == Kind::File {
            entry.size = u64::try_from(stat.st_size).unwrap_or(0);
        }
        entry.mode = stat.st_mode & 0o7777;
        (entry.uid, entry.gid) = self.shift.to_archive((stat.st_uid, stat.st_gid));
        entry.mtime = mtime(stat);
        if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
            entry.device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        }
        Some(entry)
    }
}

/// Seconds and nanoseconds of the last modification.
pub fn mtime(stat: &Stat) -> (i64, u32) {
    (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0))
}

/// Opens a file that was regular a moment ago; should it be a pipe or device by now, nothing blocks and it is gone.
pub fn open_file(directory: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<File> {
    let mut flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, stands(Guard::ArchiveBeneath));
    let file = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Err(Errno::LOOP | Errno::NXIO) => return Err(Errno::NOENT),
        other => other?,
    };
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(file.into()),
        _ => Err(Errno::NOENT),
    }
}

/// Attributes that belong into an archive: not overlay's own, not this host's policy.
fn is_portable(name: &[u8]) -> bool {
    let is_user = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
    is_user || name == b"security.capability" || name.starts_with(b"system.posix_acl_")
}

/// Attributes of an open file or directory that belong into an archive.
pub fn open_xattrs(file: BorrowedFd<'_>) -> rustix::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    collect(|buffer| rustix::fs::flistxattr(file, buffer), |name, buffer| rustix::fs::fgetxattr(file, name, buffer))
}

/// As [`open_xattrs`] for what must not be opened.
fn named_xattrs(directory: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let path = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat();
    collect(
        |buffer| rustix::fs::llistxattr(&path[..], buffer),
        |key, buffer| rustix::fs::lgetxattr(&path[..], key, buffer),
    )
}

type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

fn collect(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> rustix::io::Result<usize>,
) -> rustix::io::Result<Xattrs> {
    let mut few = [0; 512];
    let mut many = Vec::new();
    let names: &[u8] = match list(&mut few) {
        Ok(length) => &few[..length],
        Err(Errno::RANGE) => {
            many.resize(XATTR_BYTES_MAX, 0);
            let length = list(&mut many)?;
            &many[..length]
        }
        Err(Errno::NOTSUP | Errno::NOENT) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    };
    let mut found = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| is_portable(name)) {
        let mut value = vec![0; XATTR_BYTES_MAX];
        match get(name, &mut value) {
            Ok(length) => found.push((name.to_vec(), value[..length].to_vec())),
            Err(Errno::NODATA | Errno::NOENT | Errno::NOTSUP) => {}
            Err(errno) => return Err(errno),
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether the directory, file or other entry at `name` has the attribute `key` with this value (any, for `None`).
pub fn has_xattr(directory: BorrowedFd<'_>, name: &[u8], key: &str, value: Option<&[u8]>) -> rustix::io::Result<bool> {
    let path = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat();
    let mut buffer = [0; 256];
    match rustix::fs::lgetxattr(&path[..], key, &mut buffer) {
        Ok(length) => Ok(value.is_none_or(|value| value == &buffer[..length])),
        Err(Errno::NODATA | Errno::NOTSUP | Errno::NOENT) => Ok(false),
        Err(Errno::RANGE) => Ok(value.is_none()),
        Err(errno) => Err(errno),
    }
}
