//! A whole blob into the content store, for those who do not read it while it arrives.

use std::{io::Read, sync::Arc};

use berth_content::Store;
use berth_spec::{Digest, image::Descriptor};
use sha2::{Digest as _, Sha256};

use super::Lease;
use crate::{
    Error, Repository, Result,
    answer::{self, Unread},
    repository::Way,
    request::Wanted,
};

/// Blobs of at most so many bytes are not worth a file that could be taken up again.
const SMALL_BYTES: u64 = 64 * 1024;
/// Largest blob that is held in memory.
const MEMORY_BYTES_MAX: u64 = 4 << 20;
/// Attempts at a small blob whose connection breaks.
const ATTEMPTS: u32 = 4;
/// Attempts at a blob with wrong bytes, while another one is worth it.
const WRONG_MAX: u32 = 3;
const BUFFER_BYTES: usize = 256 * 1024;

impl Repository {
    /// Brings a blob into `content`; one that is there is not fetched.
    ///
    /// # Errors
    /// [`Error::WrongBlob`], [`Error::WrongSize`], [`Error::Cut`], [`Error::Content`], and those of the connection.
    pub async fn fetch(self: &Arc<Self>, blob: &Descriptor, content: &Store) -> Result<()> {
        if content.contains(&blob.digest) {
            return Ok(());
        }
        if blob.size <= SMALL_BYTES {
            return self.fetch_small(blob, content).await;
        }
        for attempt in 1.. {
            let lease = Arc::new(self.client.download(self, blob, content)?);
            let reader = Arc::clone(&lease);
            let outcome = match tokio::task::spawn_blocking(move || reader.verify()).await {
                Ok(outcome) => outcome,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            };
            match outcome {
                Err(Error::WrongBlob { .. }) if attempt < WRONG_MAX && lease.is_worth_another() => {}
                outcome => return outcome,
            }
        }
        Ok(())
    }

    /// The bytes of a small blob, which are those of its digest.
    ///
    /// # Errors
    /// As [`Repository::fetch`]; [`Error::WrongSize`] for more than 4 MiB.
    pub async fn small(&self, blob: &Descriptor) -> Result<bytes::Bytes> {
        if blob.size > MEMORY_BYTES_MAX {
            let (digest, registry) = (blob.digest.clone(), self.familiar.clone());
            return Err(Error::WrongSize { digest, registry, size: blob.size });
        }
        let mut last = Err(self.no_way());
        for way in self.ways(|abilities| abilities.pull) {
            last = self.fetch_small_by(way, blob).await;
            if !self.goes_on(way, &last) {
                break;
            }
        }
        last
    }

    async fn fetch_small(&self, blob: &Descriptor, content: &Store) -> Result<()> {
        let bytes = self.small(blob).await?;
        let store = content.clone();
        match tokio::task::spawn_blocking(move || store.put(&bytes[..])).await {
            Ok(outcome) => outcome.map(drop).map_err(Error::from),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    async fn fetch_small_by(&self, way: &Way, blob: &Descriptor) -> Result<bytes::Bytes> {
        let registry = || way.endpoint.name();
        let limit = usize::try_from(blob.size).unwrap_or(usize::MAX);
        let mut reason = String::new();
        for _ in 0..ATTEMPTS {
            let wanted = Wanted::get(format!("blobs/{}", blob.digest), "*/*", &self.familiar);
            let response = self.call(way, &wanted).await?;
            let bytes = match answer::whole(response, limit).await {
                Ok(bytes) if bytes.len() == limit => bytes,
                Ok(_) | Err(Unread::TooLarge) => {
                    return Err(Error::WrongSize {
                        digest: blob.digest.clone(),
                        registry: registry(),
                        size: blob.size,
                    });
                }
                Err(Unread::Broken(why)) => {
                    reason = why;
                    continue;
                }
            };
            let found = Digest::from_sha256(&Sha256::digest(&bytes).into());
            if found != blob.digest {
                return Err(Error::WrongBlob { digest: blob.digest.clone(), registry: registry(), found });
            }
            return Ok(bytes);
        }
        Err(Error::Cut { digest: blob.digest.clone(), registry: registry(), have: 0, size: blob.size, reason })
    }
}

/// Hashes a blob while it arrives and makes it one.
pub fn take(lease: &Lease) -> Result<()> {
    let (mut reader, mut hash) = (lease.reader(), Sha256::new());
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => hash.update(&buffer[..length]),
            Err(error) => {
                return Err(match error.downcast::<Error>() {
                    Ok(own) => own,
                    Err(source) => berth_content::Error::Write { source }.into(),
                });
            }
        }
    }
    lease.commit(&Digest::from_sha256(&hash.finalize().into()))
}
