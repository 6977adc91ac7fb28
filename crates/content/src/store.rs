//! The store and its directories.

use std::{
    fs::{DirBuilder, File},
    io::{self, Read},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use berth_spec::Digest;

use crate::{BlobWriter, Error, Result};

/// How long a blob that was not finished waits to be taken up again.
pub(crate) const PARTIAL_AGE_MAX: Duration = Duration::from_secs(3 * 24 * 3600);
const COPY_BUFFER_BYTES: usize = 128 * 1024;

/// A handle to the store; clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    root: Arc<Path>,
}

impl Store {
    /// Opens or creates the store under `root` and removes half-written blobs of an earlier life.
    ///
    /// # Errors
    /// [`Error::Open`] when a directory cannot be made or swept.
    pub fn open(root: &Path) -> Result<Self> {
        let store = Self { root: root.into() };
        for dir in [store.blobs(), store.ingest(), store.partials()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&dir)
                .map_err(|source| Error::Open { path: dir, source })?;
        }
        store.sweep_ingest().map_err(|source| Error::Open { path: store.ingest(), source })?;
        store.sweep_partials().map_err(|source| Error::Open { path: store.partials(), source })?;
        Ok(store)
    }

    /// Removes what nobody has taken up again for long.
    fn sweep_partials(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.partials())? {
            let entry = entry?;
            let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
            if age > PARTIAL_AGE_MAX {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Brings everything that was written to the file system of the store to the disk.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn sync(&self) -> Result<()> {
        let root = File::open(&*self.root).map_err(|source| Error::Open { path: self.root.to_path_buf(), source })?;
        rustix::fs::syncfs(root).map_err(|errno| Error::Write { source: errno.into() })
    }

    fn sweep_ingest(&self) -> io::Result<()> {
        for entry in std::fs::read_dir(self.ingest())? {
            std::fs::remove_file(entry?.path())?;
        }
        Ok(())
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }

    pub(crate) fn partials(&self) -> PathBuf {
        self.root.join("partial")
    }

    pub(crate) fn ingest(&self) -> PathBuf {
        self.root.join("ingest")
    }

    /// Where the blob lies or would lie.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// Begins a blob.
    ///
    /// # Errors
    /// [`Error::Write`] when no file can be made.
    pub fn writer(&self) -> Result<BlobWriter> {
        BlobWriter::create(self.clone()).map_err(|source| Error::Write { source })
    }

    /// Stores all of `reader`; gives the digest and the size in bytes.
    ///
    /// # Errors
    /// [`Error::Write`] when reading or writing fails; nothing is left behind then.
    pub fn put(&self, mut reader: impl Read) -> Result<(Digest, u64)> {
        let mut writer = self.writer()?;
        copy(&mut reader, &mut writer).map_err(|source| Error::Write { source })?;
        let size = writer.size();
        Ok((writer.commit(None)?, size))
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// [`Error::Missing`] when there is none, [`Error::Access`] when it cannot be opened.
    pub fn open_blob(&self, digest: &Digest) -> Result<File> {
        File::open(self.path(digest)).map_err(|source| absent(digest, "read", source))
    }

    /// The whole of a blob of at most `limit` bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above the limit, [`Error::Missing`] and [`Error::Access`] as for [`Store::open_blob`],
    /// [`Error::Mismatch`] when the bytes on disk are no longer those of the digest.
    pub fn read_small(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>> {
        let file = self.open_blob(digest)?;
        let mut bytes = Vec::new();
        let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|source| absent(digest, "read", source))?;
        let size = bytes.len() as u64;
        if size > limit {
            return Err(Error::TooLarge { digest: digest.clone(), size, limit });
        }
        let found = crate::write::digest_of(&bytes);
        if &found != digest {
            return Err(Error::Mismatch { expected: digest.clone(), found });
        }
        Ok(bytes)
    }

    /// Whether the blob is here.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    /// Size of a blob in bytes.
    ///
    /// # Errors
    /// [`Error::Missing`] or [`Error::Access`].
    pub fn size(&self, digest: &Digest) -> Result<u64> {
        match std::fs::metadata(self.path(digest)) {
            Ok(metadata) => Ok(metadata.len()),
            Err(source) => Err(absent(digest, "read", source)),
        }
    }

    /// Removes a blob; an absent one is no error.
    ///
    /// # Errors
    /// [`Error::Access`] when it cannot be removed.
    pub fn remove(&self, digest: &Digest) -> Result<()> {
        match std::fs::remove_file(self.path(digest)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::Access { act: "remove", digest: digest.clone(), source })
            }
            _ => Ok(()),
        }
    }

    /// The digests of all blobs, in no order; foreign file names are left out.
    ///
    /// # Errors
    /// [`Error::Open`] when the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Digest>> {
        let failed = |source| Error::Open { path: self.blobs(), source };
        let mut digests = Vec::new();
        for entry in std::fs::read_dir(self.blobs()).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(digest) = name.to_str().and_then(|hex| Digest::parse(&format!("sha256:{hex}")).ok()) {
                digests.push(digest);
            }
        }
        Ok(digests)
    }
}

fn absent(digest: &Digest, act: &'static str, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::NotFound => Error::Missing(digest.clone()),
        _ => Error::Access { act, digest: digest.clone(), source },
    }
}

fn copy(reader: &mut impl Read, writer: &mut impl io::Write) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => writer.write_all(&buffer[..length])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::PermissionsExt};

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        (dir, store)
    }

    #[test]
    fn a_blob_is_stored_once_under_its_digest() {
        let (_dir, store) = store();
        let (digest, size) = store.put(&b"hello"[..]).unwrap();
        assert_eq!(digest.hex(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
        assert_eq!((size, store.size(&digest).unwrap()), (5, 5));
        assert_eq!(store.put(&b"hello"[..]).unwrap().0, digest);
        assert_eq!(store.list().unwrap().as_slice(), std::slice::from_ref(&digest));
        assert_eq!(store.read_small(&digest, 5).unwrap(), b"hello");
        assert!(matches!(store.read_small(&digest, 4), Err(Error::TooLarge { size: 5, .. })));
        let mode = std::fs::metadata(store.path(&digest)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        store.remove(&digest).unwrap();
        store.remove(&digest).unwrap();
        assert!(matches!(store.open_blob(&digest), Err(Error::Missing(_))));
    }

    #[test]
    fn a_wrong_digest_leaves_nothing_behind() {
        let (_dir, store) = store();
        let expected = crate::write::digest_of(b"other");
        let mut writer = store.writer().unwrap();
        writer.write_all(b"hello").unwrap();
        assert!(matches!(writer.commit(Some(&expected)), Err(Error::Mismatch { .. })));
        assert!(store.list().unwrap().is_empty());
        assert_eq!(std::fs::read_dir(store.ingest()).unwrap().count(), 0);
    }

    #[test]
    fn a_dropped_writer_and_an_earlier_life_leave_nothing_behind() {
        let (dir, store) = store();
        drop(store.writer().unwrap());
        assert_eq!(std::fs::read_dir(store.ingest()).unwrap().count(), 0);
        std::fs::write(store.ingest().join("stale"), "x").unwrap();
        let again = Store::open(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(again.ingest()).unwrap().count(), 0);
    }

    #[test]
    fn a_spoiled_blob_is_noticed() {
        let (_dir, store) = store();
        let (digest, _) = store.put(&b"hello"[..]).unwrap();
        std::fs::write(store.path(&digest), "hellO").unwrap();
        assert!(matches!(store.read_small(&digest, 99), Err(Error::Mismatch { .. })));
    }
}
