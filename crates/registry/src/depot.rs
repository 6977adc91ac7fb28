//! The store and the ledger together: a blob is in both, or will be collected.
//!
//! Order of writes: bytes synced, renamed, directory synced, then the row. Order of removal: the row, then the bytes.
//! A crash in between leaves bytes that no row knows, which the next collection removes. Between the two steps a lock on
//! the digest is held, so a blob that is pushed while it is collected is either found or stored anew.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    Result,
    digest::Digest,
    ledger::{Ledger, blob, sweep},
    step::step,
    store::Store,
};

/// Locks, each for the digests that begin with one byte.
const LOCKS: usize = 256;

/// Blobs with their links.
#[derive(Clone)]
pub struct Depot {
    /// Names.
    pub ledger: Ledger,
    /// Bytes.
    pub store: Arc<Store>,
    locks: Arc<[tokio::sync::Mutex<()>]>,
}

impl Depot {
    /// Puts both together.
    #[must_use]
    pub fn new(ledger: Ledger, store: Store) -> Self {
        let locks = (0..LOCKS).map(|_| tokio::sync::Mutex::default()).collect();
        Self { ledger, store: Arc::new(store), locks }
    }

    async fn lock(&self, digest: &Digest) -> tokio::sync::MutexGuard<'_, ()> {
        let index = usize::from_str_radix(&digest.hex()[..2], 16).unwrap_or(0);
        self.locks[index % LOCKS].lock().await
    }

    /// Makes the verified file at `path` a blob of the repository `name`.
    ///
    /// # Errors
    /// Those of store and ledger.
    pub async fn keep(&self, name: &str, path: &Path, digest: &Digest, size: u64) -> Result<()> {
        let _turn = self.lock(digest).await;
        let is_known = self.ledger.read("look for a blob", |c| blob::size(c, digest))?.is_some();
        if !is_known {
            self.store.take(path, digest).await?;
        }
        let (name, digest) = (name.to_owned(), digest.clone());
        self.ledger.write("add a blob", move |c| blob::add(c, &name, &digest, size)).await?;
        step("blob noted");
        Ok(())
    }

    /// Links a stored blob into another repository; `false` when it is not stored.
    ///
    /// # Errors
    /// Those of the ledger.
    pub async fn mount(&self, name: &str, digest: &Digest) -> Result<bool> {
        let (name, digest) = (name.to_owned(), digest.clone());
        self.ledger.write("mount a blob", move |c| blob::mount(c, &name, &digest)).await
    }

    /// Removes a blob that no repository has; gives its size when it was removed.
    ///
    /// # Errors
    /// Those of store and ledger.
    pub async fn drop_orphan(&self, digest: &Digest) -> Result<Option<u64>> {
        let _turn = self.lock(digest).await;
        let forgotten = digest.clone();
        let size = self.ledger.write("forget a blob", move |c| sweep::forget(c, &forgotten)).await?;
        step("blob forgotten");
        if size.is_some() {
            self.store.remove(digest).await?;
        }
        Ok(size)
    }

    /// Removes stored bytes that the ledger does not know; `true` when it did.
    ///
    /// # Errors
    /// Those of store and ledger.
    pub async fn drop_stray(&self, digest: &Digest) -> Result<bool> {
        let _turn = self.lock(digest).await;
        let is_known = self.ledger.read("look for a blob", |c| blob::size(c, digest))?.is_some();
        if !is_known {
            self.store.remove(digest).await?;
        }
        Ok(!is_known)
    }

    /// Computes a blob's digest again; one that is wrong is put aside and forgotten, so that it can be pushed again.
    ///
    /// # Errors
    /// Those of store and ledger.
    pub async fn verify(&self, digest: &Digest) -> Result<bool> {
        if self.store.hash(digest).await?.is_some_and(|found| found == *digest) {
            return Ok(true);
        }
        let _turn = self.lock(digest).await;
        // It may have been collected meanwhile, which is no damage.
        if self.ledger.read("look for a blob", |c| blob::size(c, digest))?.is_none() {
            return Ok(true);
        }
        let forgotten = digest.clone();
        self.ledger.write("forget a broken blob", move |c| sweep::forget_broken(c, &forgotten)).await?;
        self.store.quarantine(digest).await?;
        Ok(false)
    }
}

/// `age` before now, in seconds since 1970.
#[must_use]
pub fn before(age: Duration) -> i64 {
    let time = SystemTime::now().checked_sub(age).and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    time.map_or(0, |passed| i64::try_from(passed.as_secs()).unwrap_or(i64::MAX))
}
