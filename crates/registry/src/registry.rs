//! A registry: everything that its requests share.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    Error, Result,
    access::Access,
    audit::Audit,
    collect::{self, Collected, Scrubbed, Terms},
    depot::Depot,
    ledger::Ledger,
    limit::{Counts, Rate},
    metric::{self, Metrics},
    mirror::Mirror,
    settings::Settings,
    store::{Bucket, Files, Store, files::make_dir},
    upload::Uploads,
};

/// Everything.
#[derive(Debug)]
pub struct Registry {
    /// What it was told.
    pub settings: Settings,
    /// Blobs and names.
    pub depot: Depot,
    /// Blobs under way.
    pub uploads: Uploads,
    /// Who may do what.
    pub access: Access,
    /// Other registries that are mirrored.
    pub mirror: Option<Mirror>,
    /// Counters.
    pub metrics: Metrics,
    /// Who did what.
    pub audit: Option<Audit>,
    /// Requests by address.
    pub requests: Rate,
    /// Requests of the catalogue by address.
    pub catalogs: Rate,
    /// Connections by address.
    pub counts: Counts,
    open: AtomicU64,
    _lock: File,
}

impl std::fmt::Debug for Depot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Depot").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Registry {
    /// Opens or creates the registry of `settings`; one process at a time.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::File`], [`Error::Ledger`], [`Error::Setting`], [`Error::Bucket`].
    pub async fn open(settings: Settings) -> Result<Arc<Self>> {
        let root = settings.root.clone();
        make_dir(&root)?;
        let lock = lock(&root)?;
        let store = match &settings.bucket {
            Some(bucket) => Store::Bucket(Box::new(Bucket::open(bucket)?)),
            None => Store::Files(Files::open(&root)?),
        };
        if let Store::Bucket(bucket) = &store {
            bucket.restore(&ledger_path(&root)).await?;
        }
        let ledger = Ledger::open(&ledger_path(&root))?;
        let second = Duration::from_secs(1);
        Ok(Arc::new(Self {
            access: Access::open(&settings, ledger.clone())?,
            depot: Depot::new(ledger, store),
            uploads: Uploads::open(&root, settings.limits.uploads)?,
            mirror: Mirror::open(&settings)?,
            metrics: Metrics::default(),
            audit: settings.audit.as_deref().map(Audit::open).transpose()?,
            requests: Rate::new(settings.limits.requests_per_second, second),
            catalogs: Rate::new(settings.limits.catalogs_per_second, second),
            counts: Counts::default(),
            open: AtomicU64::new(0),
            _lock: lock,
            settings,
        }))
    }

    /// Collects garbage by the settings' terms.
    ///
    /// # Errors
    /// Those of store and ledger.
    pub async fn collect(&self, terms: Terms) -> Result<Collected> {
        let collected = collect::collect(&self.depot, &self.uploads, terms).await?;
        metric::add(&self.metrics.collected_blobs, collected.blobs as u64);
        metric::add(&self.metrics.collected_bytes, collected.bytes);
        Ok(collected)
    }

    /// The settings' terms.
    #[must_use]
    pub fn terms(&self) -> Terms {
        Terms {
            grace_s: self.settings.grace.as_secs(),
            upload_s: self.settings.upload_age.as_secs(),
            untagged: self.settings.collect_untagged,
        }
    }

    /// Reads everything and computes all digests again.
    ///
    /// # Errors
    /// Those of store and ledger.
    pub async fn scrub(&self) -> Result<Scrubbed> {
        let scrubbed = collect::scrub(&self.depot).await?;
        metric::add(&self.metrics.broken, scrubbed.broken.len() as u64);
        Ok(scrubbed)
    }

    /// Counts a connection while the guard lives.
    #[must_use]
    pub fn connected(self: &Arc<Self>) -> Connected {
        self.open.fetch_add(1, Ordering::Relaxed);
        Connected(Arc::clone(self))
    }

    /// Connections open now.
    #[must_use]
    pub fn open_connections(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }
}

/// A connection that is counted.
#[derive(Debug)]
pub struct Connected(Arc<Registry>);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where the ledger lies.
#[must_use]
pub fn ledger_path(root: &Path) -> std::path::PathBuf {
    root.join("ledger.db")
}

/// Takes the registry for this process.
fn lock(root: &Path) -> Result<File> {
    let path = root.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(Error::file("open", &path))?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(Error::InUse(root.to_owned())),
        Err(error) => Err(Error::File { act: "lock", path, source: error.into() }),
    }
}
