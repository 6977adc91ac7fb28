//! A blob while it is written.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use berth_spec::Digest;
use sha2::{Digest as _, Sha256};

use crate::{Error, Result, Store};

/// Writes and hashes a new blob; dropped without [`BlobWriter::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    path: PathBuf,
    file: File,
    hash: Sha256,
    size: u64,
    committed: bool,
}

impl BlobWriter {
    pub(crate) fn create(store: Store) -> io::Result<Self> {
        let path = store.ingest().join(berth_kit::id::generate());
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { store, path, file, hash: Sha256::new(), size: 0, committed: false })
    }

    /// Bytes written so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Makes the blob part of the store, after a sync, and gives its digest.
    ///
    /// # Errors
    /// [`Error::Mismatch`] when it is not the `expected` one, [`Error::Write`] when it cannot be synced or renamed.
    pub fn commit(mut self, expected: Option<&Digest>) -> Result<Digest> {
        let found = Digest::from_sha256(&std::mem::take(&mut self.hash).finalize().into());
        if let Some(expected) = expected.filter(|expected| **expected != found) {
            return Err(Error::Mismatch { expected: expected.clone(), found });
        }
        let target = self.store.path(&found);
        if target.exists() {
            return Ok(found);
        }
        let rename = || {
            self.file.sync_data()?;
            std::fs::rename(&self.path, &target)?;
            File::open(self.store.blobs())?.sync_all()
        };
        rename().map_err(|source| Error::Write { source })?;
        self.committed = true;
        Ok(found)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.hash.update(&bytes[..length]);
        self.size += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        if !self.committed {
            // Swept at the next open when this fails.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The digest of `bytes`.
pub(crate) fn digest_of(bytes: &[u8]) -> Digest {
    Digest::from_sha256(&Sha256::digest(bytes).into())
}
