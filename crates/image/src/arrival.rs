//! A layer's blob while it arrives: unpacked as its bytes come, begun again when they turn out to be wrong.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use berth_remote::{Client, Lease, Repository};
use berth_spec::{image::Descriptor, progress::Progress};
use tokio::runtime::Handle;

use crate::Result;

/// A blob on its way here.
#[derive(Debug)]
pub struct Arrival {
    client: Client,
    repository: Arc<Repository>,
    content: berth_content::Store,
    pub blob: Descriptor,
    lease: Mutex<Arc<Lease>>,
    is_cancelled: AtomicBool,
    runtime: Handle,
    told: Mutex<Told>,
}

impl Arrival {
    /// Begins the download. Must be called inside a runtime.
    pub fn begin(
        client: &Client,
        repository: &Arc<Repository>,
        content: &berth_content::Store,
        blob: &Descriptor,
    ) -> Result<Self> {
        let lease = client.download(repository, blob, content)?;
        Ok(Self {
            client: client.clone(),
            repository: Arc::clone(repository),
            content: content.clone(),
            blob: blob.clone(),
            lease: Mutex::new(Arc::new(lease)),
            is_cancelled: AtomicBool::new(false),
            runtime: Handle::current(),
            told: Mutex::new(Told::Bytes(0)),
        })
    }

    /// The download as it is now.
    pub fn lease(&self) -> Arc<Lease> {
        Arc::clone(&self.lease.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins again, when what came was wrong and another attempt may bring something else.
    pub fn again(&self) -> Result<bool> {
        let before = self.lease();
        if self.is_cancelled.load(Ordering::Relaxed) || !before.is_worth_another() {
            return Ok(false);
        }
        let _inside = self.runtime.enter();
        let next = self.client.download(&self.repository, &self.blob, &self.content)?;
        *self.lease.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(true)
    }

    /// Ends whatever waits for its bytes.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
        self.lease().cancel();
    }

    /// The lines that tell how far it is, when that has changed since they were asked for last.
    pub fn news(&self) -> Vec<Progress> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told == Told::All {
            return Vec::new();
        }
        let (lease, total) = (self.lease(), self.blob.size);
        let line = |status: &str, current, total| {
            Progress::step(berth_kit::id::short(self.blob.digest.hex()), status, current, total)
        };
        if lease.is_complete() {
            *told = Told::All;
            let last = line("Downloading", total, total);
            return vec![last, line("Verifying Checksum", 0, 0), line("Download complete", 0, 0)];
        }
        let done = lease.done();
        if *told == Told::Bytes(done) {
            return Vec::new();
        }
        *told = Told::Bytes(done);
        vec![line("Downloading", done, total)]
    }
}

/// What has been told of an arrival.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Bytes(u64),
    All,
}

/// Ends arrivals when whoever waits for them goes away.
pub struct Guard(pub Vec<Arc<Arrival>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.iter().for_each(|arrival| arrival.cancel());
    }
}
