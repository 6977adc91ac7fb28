//! A blob while it arrives in parts, in any order; what has arrived is still there after a crash.
//!
//! ```text
//! partial/<hex>        the bytes, each at its place
//! partial/<hex>.book   how many bytes of each part are there: magic, size, part size, then a u32 for each part
//! ```
//!
//! The book is written after the bytes and without a sync: it survives the death of the process. After a power cut it
//! may promise bytes that the disk does not have; the digest tells, and all is fetched again.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use berth_spec::Digest;

use crate::{Error, Result, Store};

const MAGIC: &[u8; 8] = b"berthpt1";
const HEAD_BYTES: u64 = 24;
/// Most parts of a blob.
const PARTS_MAX: u64 = 1 << 20;

/// A blob that is not complete yet. Writers of several parts share it.
#[derive(Debug)]
pub struct Partial {
    store: Store,
    digest: Digest,
    size: u64,
    part_bytes: u64,
    file: File,
    book: File,
    have: Mutex<Vec<u32>>,
    was_there: bool,
    is_gone: AtomicBool,
}

impl Store {
    /// Takes up the blob `digest` of `size` bytes where an earlier life left it, or begins it. Parts have
    /// `part_bytes`, the last one perhaps fewer.
    ///
    /// # Errors
    /// [`Error::Write`] when no file can be made, [`Error::TooLarge`] for more than a million parts.
    pub fn partial(&self, digest: &Digest, size: u64, part_bytes: u32) -> Result<Partial> {
        let part_bytes = u64::from(part_bytes.max(1));
        let parts = size.div_ceil(part_bytes);
        if parts > PARTS_MAX {
            let limit = PARTS_MAX * part_bytes;
            return Err(Error::TooLarge { digest: digest.clone(), size, limit });
        }
        let open = || {
            let file = opened(self.partials().join(digest.hex()))?;
            let book = opened(self.partials().join(format!("{}.book", digest.hex())))?;
            let found = read_book(&book, size, part_bytes, parts)?;
            let was_there = found.as_ref().is_some_and(|have| have.iter().any(|have| *have > 0));
            let have = match found {
                Some(have) => have,
                None => {
                    file.set_len(0)?;
                    book.set_len(0)?;
                    let head = [&MAGIC[..], &size.to_le_bytes(), &part_bytes.to_le_bytes()].concat();
                    book.write_all_at(&head, 0)?;
                    book.set_len(HEAD_BYTES + parts * 4)?;
                    vec![0; usize::try_from(parts).unwrap_or_default()]
                }
            };
            Ok((file, book, have, was_there))
        };
        let (file, book, have, was_there) = open().map_err(|source| Error::Write { source })?;
        let is_gone = AtomicBool::new(false);
        let (store, digest) = (self.clone(), digest.clone());
        Ok(Partial { store, digest, size, part_bytes, file, book, have: Mutex::new(have), was_there, is_gone })
    }
}

fn opened(path: PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// What the book says; `None` when it is new, or of another blob or shape.
fn read_book(book: &File, size: u64, part_bytes: u64, parts: u64) -> io::Result<Option<Vec<u32>>> {
    if book.metadata()?.len() != HEAD_BYTES + parts * 4 {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(HEAD_BYTES + parts * 4).unwrap_or_default()];
    book.read_exact_at(&mut bytes, 0)?;
    let word = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or_default();
    if !bytes.starts_with(MAGIC) || word(8) != size || word(16) != part_bytes {
        return Ok(None);
    }
    let counts = bytes[24..].chunks_exact(4).map(|chunk| chunk.try_into().map(u32::from_le_bytes).unwrap_or_default());
    let lengths = (0..parts).map(|part| part_bytes.min(size - part * part_bytes));
    let have: Vec<u32> = counts.collect();
    let fits = have.iter().zip(lengths).all(|(have, length)| u64::from(*have) <= length);
    Ok(fits.then_some(have))
}

impl Partial {
    /// Number of parts.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.lock().len()
    }

    /// Where a part begins and ends in the blob.
    #[must_use]
    pub fn bounds(&self, part: usize) -> (u64, u64) {
        let start = part as u64 * self.part_bytes;
        (start, (start + self.part_bytes).min(self.size))
    }

    /// Bytes of a part that are here, from its beginning.
    #[must_use]
    pub fn have(&self, part: usize) -> u64 {
        self.lock().get(part).copied().unwrap_or_default().into()
    }

    /// All bytes that are here.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.lock().iter().map(|have| u64::from(*have)).sum()
    }

    /// Bytes that are here without a gap, from the blob's beginning.
    #[must_use]
    pub fn frontier(&self) -> u64 {
        let have = self.lock();
        let whole = have.iter().take_while(|have| u64::from(**have) == self.part_bytes).count();
        let next = have.get(whole).copied().unwrap_or_default();
        whole as u64 * self.part_bytes + u64::from(next)
    }

    /// Whether bytes of an earlier life were found.
    #[must_use]
    pub fn was_there(&self) -> bool {
        self.was_there
    }

    /// Puts bytes to their place. Those behind a gap in their part are left out, as the book cannot hold them.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn write(&self, mut offset: u64, mut bytes: &[u8]) -> Result<()> {
        let failed = |source| Error::Write { source };
        while !bytes.is_empty() && offset < self.size {
            let part = usize::try_from(offset / self.part_bytes).unwrap_or(usize::MAX);
            let (start, end) = self.bounds(part);
            let length = usize::try_from(end - offset).unwrap_or(usize::MAX).min(bytes.len());
            let (now, rest) = bytes.split_at(length);
            if offset - start <= self.have(part) {
                self.file.write_all_at(now, offset).map_err(failed)?;
                let reached = u32::try_from(offset - start + length as u64).unwrap_or(u32::MAX);
                let mut have = self.lock();
                if reached > have[part] {
                    have[part] = reached;
                    self.book.write_all_at(&reached.to_le_bytes(), HEAD_BYTES + part as u64 * 4).map_err(failed)?;
                }
            }
            offset += length as u64;
            bytes = rest;
        }
        Ok(())
    }

    /// Reads bytes that are here.
    ///
    /// # Errors
    /// Those of the file.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    /// Makes it a blob, whose digest was `found` to be; it reaches the disk with the next [`Store::sync`].
    ///
    /// # Errors
    /// [`Error::Mismatch`] when it is another digest, and nothing is left then; [`Error::Write`].
    pub fn commit(&self, found: &Digest) -> Result<()> {
        if *found != self.digest {
            self.discard();
            return Err(Error::Mismatch { expected: self.digest.clone(), found: found.clone() });
        }
        if self.is_gone.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let (path, book) = self.paths();
        let target = self.store.path(&self.digest);
        if !target.exists() {
            std::fs::rename(&path, &target).map_err(|source| Error::Write { source })?;
        }
        let _ = std::fs::remove_file(path);
        // Without its file, a book is swept later.
        let _ = std::fs::remove_file(book);
        Ok(())
    }

    /// Removes what has arrived.
    pub fn discard(&self) {
        if !self.is_gone.swap(true, Ordering::Relaxed) {
            let (path, book) = self.paths();
            let _ = std::fs::remove_file(book);
            let _ = std::fs::remove_file(path);
        }
    }

    fn paths(&self) -> (PathBuf, PathBuf) {
        let hex = self.digest.hex();
        (self.store.partials().join(hex), self.store.partials().join(format!("{hex}.book")))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u32>> {
        self.have.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    #[test]
    fn parts_in_any_order_become_the_blob() {
        let (_dir, store) = store();
        let bytes = b"0123456789";
        let digest = crate::write::digest_of(bytes);
        let partial = store.partial(&digest, 10, 4).unwrap();
        assert_eq!((partial.parts(), partial.bounds(2)), (3, (8, 10)));
        partial.write(4, b"45").unwrap();
        partial.write(8, b"89").unwrap();
        assert_eq!((partial.frontier(), partial.total()), (0, 4));
        // Behind a gap in its part.
        partial.write(7, b"7").unwrap();
        assert_eq!(partial.have(1), 2);
        partial.write(0, b"01234567").unwrap();
        assert_eq!((partial.frontier(), partial.total()), (10, 10));
        partial.commit(&digest).unwrap();
        assert_eq!(store.read_small(&digest, 99).unwrap(), bytes);
        assert_eq!(std::fs::read_dir(store.partials()).unwrap().count(), 0);
    }

    #[test]
    fn an_earlier_life_is_taken_up_at_its_byte() {
        let (dir, store) = store();
        let digest = crate::write::digest_of(b"0123456789");
        store.partial(&digest, 10, 4).unwrap().write(0, b"012345").unwrap();
        let again = Store::open(dir.path()).unwrap().partial(&digest, 10, 4).unwrap();
        assert_eq!((again.was_there(), again.frontier(), again.have(1)), (true, 6, 2));
        // Another shape begins anew.
        let other = store.partial(&digest, 10, 5).unwrap();
        assert_eq!((other.was_there(), other.frontier()), (false, 0));
    }

    #[test]
    fn a_book_that_lies_and_a_wrong_digest_leave_nothing() {
        let (_dir, store) = store();
        let digest = crate::write::digest_of(b"0123456789");
        drop(store.partial(&digest, 10, 4).unwrap());
        let book = store.partials().join(format!("{}.book", digest.hex()));
        OpenOptions::new().write(true).open(book).unwrap().write_all_at(&99_u32.to_le_bytes(), 24).unwrap();
        let partial = store.partial(&digest, 10, 4).unwrap();
        assert_eq!(partial.frontier(), 0);
        let other = crate::write::digest_of(b"other");
        assert!(matches!(partial.commit(&other), Err(Error::Mismatch { .. })));
        assert_eq!(std::fs::read_dir(store.partials()).unwrap().count(), 0);
        assert!(store.list().unwrap().is_empty());
    }

    #[test]
    fn what_nobody_takes_up_again_goes() {
        let (dir, store) = store();
        let digest = crate::write::digest_of(b"0123456789");
        store.partial(&digest, 10, 4).unwrap().write(0, b"0").unwrap();
        let old = std::time::SystemTime::now() - crate::store::PARTIAL_AGE_MAX - std::time::Duration::from_secs(9);
        for entry in std::fs::read_dir(store.partials()).unwrap() {
            File::options().write(true).open(entry.unwrap().path()).unwrap().set_modified(old).unwrap();
        }
        Store::open(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(store.partials()).unwrap().count(), 0);
    }
}
