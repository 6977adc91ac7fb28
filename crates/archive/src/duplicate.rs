//! A tree made twice: the copy shares the bytes of its files with the original where the file system can do that
//! (`FICLONE`, ioctl_ficlone(2): btrfs, xfs, bcachefs), and is written out elsewhere.
//!
//! The original may be in use: nothing in it is followed, and what vanishes meanwhile is left out. Each file is as it was
//! at one moment where bytes are shared; the tree as a whole is not.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, SeekFrom},
    io::Errno,
};

use crate::{
    Error, IdShift, Result,
    pack::{self, DEPTH_MAX, Packer},
    tar::{Entry, Kind, Reader},
    unpack::{finish_open, make, times},
};

/// Most bytes that one call of copy_file_range(2) is asked for.
const RANGE_BYTES: usize = 64 << 20;

/// What a copy amounts to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Duplicated {
    /// Entries of every kind, the root not counted.
    pub entries: u64,
    /// Bytes of files that are shared with the original.
    pub shared_bytes: u64,
    /// Bytes of files that were written out.
    pub written_bytes: u64,
}

/// Copies the contents of the directory `source` into the empty directory `target`, and gives that its owner, mode, time
/// and attributes.
///
/// # Errors
/// [`Error::Entry`] naming what cannot be read or made, [`Error::Limit`] for too deep a tree.
pub fn tree(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<Duplicated> {
    let mut duplicate = Duplicate {
        root: target,
        packer: Packer::new(io::sink(), IdShift::default()),
        links: HashMap::new(),
        refused: false,
        done: Duplicated::default(),
    };
    let mut path = Vec::new();
    duplicate.directory(source, target, &mut path, 0)?;
    let failed = |errno: Errno| Error::entry("copy", b".", errno);
    let stat = rustix::fs::fstat(source).map_err(failed)?;
    if let Some(entry) = duplicate.packer.describe(b".", &stat) {
        finish_open(target, &entry, (stat.st_uid, stat.st_gid)).map_err(failed)?;
        rustix::fs::futimens(target, &times(&entry)).map_err(failed)?;
    }
    Ok(duplicate.done)
}

struct Duplicate<'t> {
    root: BorrowedFd<'t>,
    packer: Packer<io::Sink>,
    /// Device and inode of files with several names, to the first of them below `root`.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// The file systems cannot share bytes: it is not tried again.
    refused: bool,
    done: Duplicated,
}

impl Duplicate<'_> {
    fn directory(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        path: &mut Vec<u8>,
        depth: u32,
    ) -> Result<()> {
        if depth > DEPTH_MAX {
            return Err(Error::Limit { what: "directories above an entry", limit: DEPTH_MAX.into() });
        }
        let names = pack::names(source).map_err(|errno| Error::entry("read", path, errno))?;
        for name in names {
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            self.entry(source, target, &name, path, depth)?;
            path.truncate(length);
        }
        Ok(())
    }

    fn entry(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        name: &[u8],
        path: &mut Vec<u8>,
        depth: u32,
    ) -> Result<()> {
        let failed = |path: &[u8], errno: Errno| Error::entry("copy", path, errno);
        let stat = match pack::stat(source, name) {
            Ok(Some(stat)) => stat,
            Ok(None) => return Ok(()),
            Err(errno) => return Err(failed(path, errno)),
        };
        let Some(mut entry) = self.packer.describe(path, &stat) else { return Ok(()) };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                if stat.st_nlink > 1
                    && let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino))
                {
                    rustix::fs::linkat(self.root, &first[..], target, name, AtFlags::empty())
                        .map_err(|errno| failed(path, errno))?;
                } else if !self.file(source, target, name, &mut entry).map_err(|errno| failed(path, errno))? {
                    return Ok(());
                } else if stat.st_nlink > 1 {
                    self.links.insert((stat.st_dev, stat.st_ino), path.clone());
                }
            }
            FileType::Directory => {
                let from = match pack::open_directory(source, name) {
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
                    outcome => outcome.map_err(|errno| failed(path, errno))?,
                };
                entry.xattrs = pack::open_xattrs(from.as_fd()).map_err(|errno| failed(path, errno))?;
                make(target, name, &entry, &mut Reader::new(io::empty()), IdShift::default())?;
                let to = pack::open_directory(target, name).map_err(|errno| failed(path, errno))?;
                self.directory(from.as_fd(), to.as_fd(), path, depth + 1)?;
                rustix::fs::futimens(&to, &times(&entry)).map_err(|errno| failed(path, errno))?;
            }
            _ => {
                if entry.kind == Kind::Symlink {
                    entry.link = match rustix::fs::readlinkat(source, name, Vec::new()) {
                        Err(Errno::NOENT | Errno::INVAL) => return Ok(()),
                        outcome => outcome.map_err(|errno| failed(path, errno))?.into_bytes(),
                    };
                }
                make(target, name, &entry, &mut Reader::new(io::empty()), IdShift::default())?;
            }
        }
        self.done.entries += 1;
        Ok(())
    }

    /// Copies one file; `false` when it has gone meanwhile.
    fn file(
        &mut self,
        source: BorrowedFd<'_>,
        target: BorrowedFd<'_>,
        name: &[u8],
        entry: &mut Entry,
    ) -> rustix::io::Result<bool> {
        let from = match pack::open_file(source, name) {
            Err(Errno::NOENT) => return Ok(false),
            outcome => OwnedFd::from(outcome?),
        };
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let to = rustix::fs::openat(target, name, flags, Mode::RUSR | Mode::WUSR)?;
        if self.share(from.as_fd(), to.as_fd())? {
            self.done.shared_bytes += u64::try_from(rustix::fs::fstat(&to)?.st_size).unwrap_or(0);
        } else {
            self.done.written_bytes += write_out(from.as_fd(), to.as_fd())?;
        }
        // The file that was opened is described, not the one that had the name before.
        let stat = rustix::fs::fstat(&from)?;
        (entry.mode, entry.mtime) = (stat.st_mode & 0o7777, pack::mtime(&stat));
        entry.xattrs = pack::open_xattrs(from.as_fd())?;
        finish_open(to.as_fd(), entry, (stat.st_uid, stat.st_gid))?;
        rustix::fs::futimens(&to, &times(entry))?;
        Ok(true)
    }

    fn share(&mut self, from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> rustix::io::Result<bool> {
        if self.refused {
            return Ok(false);
        }
        match rustix::fs::ioctl_ficlone(to, from) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::XDEV | Errno::NOTTY) => {
                self.refused = true;
                Ok(false)
            }
            // This file cannot be shared (a swap file, one without checksums beside one with); others may.
            Err(Errno::INVAL | Errno::TXTBSY) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}

/// Copies the data of `from` and leaves its holes out; returns how many bytes were written.
fn write_out(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> rustix::io::Result<u64> {
    let size = u64::try_from(rustix::fs::fstat(from)?.st_size).unwrap_or(0);
    let (mut at, mut written) = (0, 0);
    while at < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => break,
            // A file system that knows no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
            Err(errno) => return Err(errno),
        };
        let end = match rustix::fs::seek(from, SeekFrom::Hole(start)) {
            Ok(end) if end > start => end,
            _ => size,
        };
        written += copy_range(from, to, start, end.min(size))?;
        at = end.max(start + 1);
    }
    rustix::fs::ftruncate(to, size)?;
    Ok(written)
}

fn copy_range(from: BorrowedFd<'_>, to: BorrowedFd<'_>, start: u64, end: u64) -> rustix::io::Result<u64> {
    let (mut read_at, mut write_at) = (start, start);
    while read_at < end {
        let wanted = usize::try_from(end - read_at).unwrap_or(usize::MAX).min(RANGE_BYTES);
        match rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), wanted) {
            // It became shorter meanwhile.
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                return Ok(read_at - start + by_hand(from, to, read_at, end)?);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(read_at - start)
}

/// Copies between file systems that the kernel does not copy between.
fn by_hand(from: BorrowedFd<'_>, to: BorrowedFd<'_>, start: u64, end: u64) -> rustix::io::Result<u64> {
    let mut buffer = vec![0; crate::BUFFER_BYTES];
    let mut at = start;
    while at < end {
        let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let length = match rustix::io::pread(from, &mut buffer[..wanted], at) {
            Ok(0) => break,
            Ok(length) => length,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        let mut written = 0;
        while written < length {
            match rustix::io::pwrite(to, &buffer[written..length], at + written as u64) {
                Ok(more) => written += more,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        at += length as u64;
    }
    Ok(at - start)
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    };

    use super::*;

    #[test]
    fn everything_of_a_tree_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("deep/er")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("deep/er/file"), "text").unwrap();
        fs::set_permissions(from.join("deep/er/file"), fs::Permissions::from_mode(0o4751)).unwrap();
        fs::hard_link(from.join("deep/er/file"), from.join("other-name")).unwrap();
        symlink("../outside", from.join("link")).unwrap();
        let sparse = File::create(from.join("sparse")).unwrap();
        sparse.write_all_at(b"end", 8 << 20).unwrap();
        sparse.set_len(16 << 20).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, from.join("pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        File::open(from.join("deep")).unwrap().set_modified(long_ago).unwrap();
        fs::set_permissions(&from, fs::Permissions::from_mode(0o2750)).unwrap();

        let (source, target) = (File::open(&from).unwrap(), File::open(&to).unwrap());
        let done = tree(source.as_fd(), target.as_fd()).unwrap();
        assert_eq!(done.entries, 7, "{done:?}");
        let stat = |name: &str| fs::symlink_metadata(to.join(name)).unwrap();
        assert_eq!(stat("deep/er/file").mode() & 0o7777, 0o4751);
        assert_eq!(stat("deep/er/file").ino(), stat("other-name").ino());
        assert_eq!(fs::read_link(to.join("link")).unwrap().to_str(), Some("../outside"));
        assert_eq!(stat("sparse").len(), 16 << 20);
        assert!(stat("sparse").blocks() * 512 < 2 << 20, "holes stay holes");
        let mut end = [0; 3];
        File::open(to.join("sparse")).unwrap().read_exact_at(&mut end, 8 << 20).unwrap();
        assert_eq!(&end, b"end");
        assert_eq!(stat("pipe").mode() & 0o170_000, 0o010_000);
        assert_eq!(stat("deep").modified().unwrap(), long_ago);
        assert_eq!(stat(".").mode() & 0o7777, 0o2750);
    }
}
