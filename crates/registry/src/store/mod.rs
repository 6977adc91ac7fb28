//! Where the bytes of blobs are: in files, or in a bucket of an S3-compatible server.

pub mod bucket;
pub mod files;

use std::path::Path;

use crate::{Result, digest::Digest};

pub use bucket::Bucket;
pub use files::Files;

/// The store of blobs.
#[derive(Debug)]
pub enum Store {
    /// One file a blob.
    Files(Files),
    /// One object a blob.
    Bucket(Box<Bucket>),
}

impl Store {
    /// Makes the whole, hashed file at `path` the blob `digest`. It is durable when this returns, and `path` is gone.
    ///
    /// # Errors
    /// [`crate::Error::File`], [`crate::Error::Bucket`]; the file at `path` may be left.
    pub async fn take(&self, path: &Path, digest: &Digest) -> Result<()> {
        match self {
            Self::Files(files) => {
                let (files, path, digest) = (files.clone(), path.to_owned(), digest.clone());
                crate::blocking(move || files.take(&path, &digest)).await
            }
            Self::Bucket(bucket) => bucket.take(path, digest).await,
        }
    }

    /// Removes a blob; an absent one is no error.
    ///
    /// # Errors
    /// [`crate::Error::File`], [`crate::Error::Bucket`].
    pub async fn remove(&self, digest: &Digest) -> Result<()> {
        match self {
            Self::Files(files) => {
                let (files, digest) = (files.clone(), digest.clone());
                crate::blocking(move || files.remove(&digest)).await
            }
            Self::Bucket(bucket) => bucket.remove(digest).await,
        }
    }

    /// Puts a broken blob aside, out of readers' sight.
    ///
    /// # Errors
    /// [`crate::Error::File`], [`crate::Error::Bucket`].
    pub async fn quarantine(&self, digest: &Digest) -> Result<()> {
        match self {
            Self::Files(files) => {
                let (files, digest) = (files.clone(), digest.clone());
                crate::blocking(move || files.quarantine(&digest)).await
            }
            Self::Bucket(bucket) => bucket.quarantine(digest).await,
        }
    }

    /// Computes the digest of what is stored as `digest`; `None` when nothing is.
    ///
    /// # Errors
    /// [`crate::Error::File`], [`crate::Error::Bucket`].
    pub async fn hash(&self, digest: &Digest) -> Result<Option<Digest>> {
        match self {
            Self::Files(files) => {
                let (files, digest) = (files.clone(), digest.clone());
                crate::blocking(move || files.hash(&digest)).await
            }
            Self::Bucket(bucket) => bucket.hash(digest).await,
        }
    }

    /// Digests of everything stored whose age is over `age_seconds`, for finding what the ledger does not know.
    ///
    /// # Errors
    /// [`crate::Error::File`], [`crate::Error::Bucket`].
    pub async fn list(&self, age_seconds: u64) -> Result<Vec<Digest>> {
        match self {
            Self::Files(files) => {
                let files = files.clone();
                crate::blocking(move || files.list(age_seconds)).await
            }
            Self::Bucket(bucket) => bucket.list(age_seconds).await,
        }
    }
}
