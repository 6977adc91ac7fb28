//! A layer's blob while it arrives: unpacked as its bytes come, begun again when they turn out to be wrong.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use berth_remote::{Client, Lease, Repository};
use berth_spec::{image::Descriptor, progress::Progress};
use tokio::runtime::Handle;

use crate::{Result, stream::ProgressSender};

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

    /// Tells how far it is, when that is worth a line: `told` is what was told before.
    pub fn tell(&self, told: &mut Told, progress: &ProgressSender) {
        if *told == Told::All {
            return;
        }
        let (lease, total) = (self.lease(), self.blob.size);
        let shown = berth_kit::id::short(self.blob.digest.hex());
        // A slow client misses a line.
        if lease.is_complete() {
            *told = Told::All;
            for status in ["Verifying Checksum", "Download complete"] {
                let _ = progress.try_send(Progress::step(shown, status, 0, 0));
            }
            return;
        }
        let done = lease.done();
        if *told != Told::Bytes(done) && done > 0 {
            *told = Told::Bytes(done);
            let _ = progress.try_send(Progress::step(shown, "Downloading", done, total));
        }
    }
}

/// What has been told of an arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
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
