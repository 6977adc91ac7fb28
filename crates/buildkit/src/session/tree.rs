//! A folder on disk as the stats of fsutil, and back. All paths are opened below a descriptor, no link followed.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};

use crate::proto::session::Stat;

/// Bits of Go's `FileMode`.
pub(super) mod go {
    pub const DIR: u32 = 1 << 31;
    pub const SYMLINK: u32 = 1 << 27;
    pub const DEVICE: u32 = 1 << 26;
    pub const FIFO: u32 = 1 << 25;
    pub const SOCKET: u32 = 1 << 24;
    pub const SETUID: u32 = 1 << 23;
    pub const SETGID: u32 = 1 << 22;
    pub const CHAR: u32 = 1 << 21;
    pub const STICKY: u32 = 1 << 20;
    /// All that say what kind of file it is.
    pub const KIND: u32 = DIR | SYMLINK | DEVICE | FIFO | SOCKET | CHAR | (1 << 19);
}

/// How deep folders may nest.
pub(super) const DEPTH: usize = 256;
/// Entries of one tree.
pub(super) const ENTRIES: usize = 2_000_000;

/// Opens a file below `root` for reading.
pub(super) fn open(root: &OwnedFd, path: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(File::from(rustix::fs::openat2(root, path, flags, Mode::empty(), below())?))
}

pub(super) fn below() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

/// All entries below `root`, each folder before what is in it, names in the order of their bytes.
pub(super) fn walk(root: &OwnedFd) -> io::Result<Vec<Stat>> {
    let mut walker = Walker { found: Vec::new(), links: BTreeMap::new() };
    walker.folder(root.as_fd(), "", 0)?;
    Ok(walker.found)
}

struct Walker {
    found: Vec<Stat>,
    /// The first name of each file that has several.
    links: BTreeMap<(u64, u64), String>,
}

impl Walker {
    fn folder(&mut self, folder: BorrowedFd<'_>, prefix: &str, depth: usize) -> io::Result<()> {
        if depth > DEPTH || self.found.len() > ENTRIES {
            return Err(io::Error::other("the folder is too deep or holds too many files"));
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(folder)? {
            let name = entry?.file_name().to_owned();
            if name.as_bytes() != b"." && name.as_bytes() != b".." {
                names.push(name);
            }
        }
        names.sort();
        for name in names {
            let text = name.to_str().map_err(|_| io::Error::other(format!("{name:?} below {prefix:?} is no UTF-8")))?;
            let path = if prefix.is_empty() { text.to_owned() } else { format!("{prefix}/{text}") };
            let stat = rustix::fs::statat(folder, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::Socket {
                continue;
            }
            let entry = self.entry(folder, &name, &path, &stat)?;
            self.found.push(entry);
            if kind == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let inside = rustix::fs::openat(folder, name.as_c_str(), flags, Mode::empty())?;
                self.folder(inside.as_fd(), &path, depth + 1)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, folder: BorrowedFd<'_>, name: &CStr, path: &str, stat: &rustix::fs::Stat) -> io::Result<Stat> {
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut linkname = String::new();
        if kind == FileType::Symlink {
            let target = rustix::fs::readlinkat(folder, name, Vec::new())?;
            linkname = target.into_string().map_err(|_| io::Error::other(format!("the link {path:?} is no UTF-8")))?;
        }
        if kind == FileType::RegularFile && stat.st_nlink > 1 {
            match self.links.get(&(stat.st_dev, stat.st_ino)) {
                Some(first) => linkname.clone_from(first),
                None => drop(self.links.insert((stat.st_dev, stat.st_ino), path.to_owned())),
            }
        }
        let is_device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
        let device = |part: u32| if is_device { i64::from(part) } else { 0 };
        Ok(Stat {
            path: path.to_owned(),
            mode: mode(stat.st_mode),
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: if kind == FileType::RegularFile { stat.st_size } else { 0 },
            mod_time: stat.st_mtime * 1_000_000_000 + stat.st_mtime_nsec as i64,
            linkname,
            devmajor: device(rustix::fs::major(stat.st_rdev)),
            devminor: device(rustix::fs::minor(stat.st_rdev)),
            xattrs: BTreeMap::new(),
        })
    }
}

/// Linux's mode as Go's.
pub(super) fn mode(raw: u32) -> u32 {
    let kind = match FileType::from_raw_mode(raw) {
        FileType::Directory => go::DIR,
        FileType::Symlink => go::SYMLINK,
        FileType::Fifo => go::FIFO,
        FileType::Socket => go::SOCKET,
        FileType::CharacterDevice => go::DEVICE | go::CHAR,
        FileType::BlockDevice => go::DEVICE,
        _ => 0,
    };
    let bits = [(0o4000, go::SETUID), (0o2000, go::SETGID), (0o1000, go::STICKY)];
    bits.iter().filter(|(linux, _)| raw & linux != 0).fold(kind | (raw & 0o777), |mode, (_, bit)| mode | bit)
}

/// The permission bits of Go's mode as Linux's.
pub(super) fn permissions(mode: u32) -> u32 {
    let bits = [(0o4000, go::SETUID), (0o2000, go::SETGID), (0o1000, go::STICKY)];
    bits.iter().filter(|(_, bit)| mode & bit != 0).fold(mode & 0o777, |raw, (linux, _)| raw | linux)
}
