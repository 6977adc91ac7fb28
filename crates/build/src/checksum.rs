//! Checksums of what a step reads: content, mode and owner of files; times do not count.

use std::{
    collections::HashMap,
    io::Read,
    os::fd::AsFd,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::fs::{FileType, OFlags};
use sha2::{Digest as _, Sha256};

use crate::{Error, Result, select::Item, tree};

/// A SHA-256.
pub(crate) type Sum = [u8; 32];

/// How many files' checksums are remembered.
const REMEMBERED_MAX: usize = 1_000_000;
/// Most threads that read at once.
const READERS_MAX: usize = 4;

/// Checksums of files by what the kernel says of them: one that was not written since needs no second reading.
#[derive(Default)]
pub(crate) struct Checksums {
    known: Mutex<HashMap<Identity, Sum>>,
}

/// Device, inode, length, times of content and of attributes.
type Identity = (u64, u64, i64, (i64, i64), (i64, i64));

fn identity(stat: &rustix::fs::Stat) -> Identity {
    let (content, change) = ((stat.st_mtime, stat.st_mtime_nsec as i64), (stat.st_ctime, stat.st_ctime_nsec as i64));
    (stat.st_dev, stat.st_ino, stat.st_size, content, change)
}

impl Checksums {
    /// One checksum an item, in their order. `owners` says whether owners count.
    pub fn of(&self, items: &[Item], owners: bool) -> Result<Vec<Sum>> {
        let sums: Vec<Mutex<Sum>> = items.iter().map(|_| Mutex::new([0; 32])).collect();
        let next = AtomicUsize::new(0);
        let failure = Mutex::new(None);
        let work = || {
            let mut buffer = vec![0u8; 128 << 10];
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(at) else { return };
                match self.one(item, owners, &mut buffer) {
                    Ok(sum) => *lock(&sums[at]) = sum,
                    Err(error) => {
                        lock(&failure).get_or_insert(error);
                        return;
                    }
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(2, usize::from).min(READERS_MAX);
        std::thread::scope(|scope| {
            if items.len() > 16 {
                for _ in 1..threads {
                    scope.spawn(work);
                }
            }
            work();
        });
        match lock(&failure).take() {
            Some(error) => Err(error),
            None => Ok(sums.iter().map(|sum| *lock(sum)).collect()),
        }
    }

    fn one(&self, item: &Item, owners: bool, buffer: &mut [u8]) -> Result<Sum> {
        let stat = &item.stat;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let mut hash = Sha256::new();
        hash.update((stat.st_mode & 0o7777).to_le_bytes());
        if owners {
            hash.update(stat.st_uid.to_le_bytes());
            hash.update(stat.st_gid.to_le_bytes());
        }
        match kind {
            FileType::RegularFile => {
                hash.update(b"f");
                hash.update(self.content(item, buffer)?);
            }
            FileType::Symlink => {
                hash.update(b"l");
                hash.update(&item.link);
            }
            FileType::Directory => hash.update(b"d"),
            FileType::CharacterDevice | FileType::BlockDevice => {
                hash.update(if kind == FileType::CharacterDevice { b"c" } else { b"b" });
                hash.update(stat.st_rdev.to_le_bytes());
            }
            _ => hash.update(b"p"),
        }
        Ok(hash.finalize().into())
    }

    fn content(&self, item: &Item, buffer: &mut [u8]) -> Result<Sum> {
        let wanted = identity(&item.stat);
        if let Some(sum) = lock(&self.known).get(&wanted) {
            return Ok(*sum);
        }
        let mut file = open(item)?;
        let mut hash = Sha256::new();
        loop {
            let read = file.read(buffer).map_err(Error::file("read", &item.path))?;
            if read == 0 {
                break;
            }
            hash.update(&buffer[..read]);
        }
        let sum = hash.finalize().into();
        let mut known = lock(&self.known);
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(wanted, sum);
        Ok(sum)
    }
}

/// Opens a regular file that was selected.
pub(crate) fn open(item: &Item) -> Result<std::fs::File> {
    let failed = Error::call("open", &item.path);
    if item.follow {
        return tree::open_file(item.root.as_fd(), &item.path).map_err(failed);
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    tree::open_plain(item.root.as_fd(), &item.path, flags).map(Into::into).map_err(failed)
}

/// The checksum of bytes.
pub(crate) fn of_bytes(bytes: &[u8]) -> Sum {
    Sha256::digest(bytes).into()
}

/// In hexadecimal digits.
pub(crate) fn hex(sum: &Sum) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::select::{Filter, select};

    fn sums(folder: &std::path::Path, checksums: &Checksums) -> Vec<Sum> {
        let tree = tree::Tree::open(folder, None).expect("open");
        let found = select(tree.root(), ".", Filter::default()).expect("select");
        checksums.of(&found[0].items, false).expect("checksums")
    }

    #[test]
    fn content_and_mode_count_and_times_do_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a");
        std::fs::write(&file, "one").expect("write");
        let checksums = Checksums::default();
        let first = sums(folder.path(), &checksums);
        std::fs::remove_file(&file).expect("remove");
        std::fs::write(&file, "one").expect("write");
        assert_eq!(sums(folder.path(), &checksums), first);
        std::fs::write(&file, "two").expect("write");
        assert_ne!(sums(folder.path(), &checksums), first);
        std::fs::write(&file, "one").expect("write");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("chmod");
        assert_ne!(sums(folder.path(), &checksums), first);
    }
}
