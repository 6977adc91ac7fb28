//! A blob on its way from an upstream: one thread reads and hashes it, any number of clients follow.
//!
//! Clients see all but the last byte until the digest was found right and the blob is in the store, so what is wrong
//! ends for each of them as a connection that broke.

use std::{
    collections::HashMap,
    io::{self, Read},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use berth_remote::{Lease, Reader};
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::{
    digest::{Digest, Hasher},
    fault::Outcome,
    metric,
    registry::Registry,
    serve::payload::Payload,
};

const READ_BYTES: usize = 256 * 1024;
const AHEAD: usize = 2;

/// Fetches under way, by repository and digest.
#[derive(Debug, Default)]
pub struct Fetches {
    running: Mutex<HashMap<(String, Digest), Weak<Fetch>>>,
}

/// How far a fetch is.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    bytes: u64,
    is_done: bool,
    failure: Option<Arc<str>>,
}

impl Progress {
    /// Whether there is something to say.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.bytes > 0 || self.is_done || self.failure.is_some()
    }

    /// Why it ended, if it did too early.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// How far a client may read.
    fn visible(&self, size: u64) -> u64 {
        if self.is_done { size } else { self.bytes.min(size.saturating_sub(1)) }
    }
}

/// A blob on its way.
#[derive(Debug)]
pub struct Fetch {
    lease: Arc<Lease>,
    size: u64,
    progress: watch::Receiver<Progress>,
}

impl Fetches {
    /// The fetch that is under way, or what `begin` gives.
    ///
    /// # Errors
    /// Those of `begin`.
    pub fn join(
        &self,
        name: &str,
        digest: &Digest,
        begin: impl FnOnce() -> Outcome<Option<Arc<Fetch>>>,
    ) -> Outcome<Option<Arc<Fetch>>> {
        let key = (name.to_owned(), digest.clone());
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, fetch| fetch.strong_count() > 0);
        let known = running.get(&key).and_then(Weak::upgrade);
        if let Some(fetch) = known.filter(|fetch| fetch.progress.borrow().failure.is_none()) {
            return Ok(Some(fetch));
        }
        let fetch = begin()?;
        if let Some(fetch) = &fetch {
            running.insert(key, Arc::downgrade(fetch));
        }
        Ok(fetch)
    }
}

impl Fetch {
    /// Begins. The work goes on when all clients have left, so the next one finds the blob.
    #[must_use]
    pub fn begin(
        registry: &Arc<Registry>,
        name: &str,
        digest: &Digest,
        size: u64,
        lease: Lease,
        path: PathBuf,
    ) -> Arc<Self> {
        let (told, progress) = watch::channel(Progress::default());
        let fetch = Arc::new(Self { lease: Arc::new(lease), size, progress });
        let (own, registry) = (Arc::clone(&fetch), Arc::clone(registry));
        let (name, digest) = (name.to_owned(), digest.clone());
        let runtime = tokio::runtime::Handle::current();
        // A thread of its own: it waits for the network most of the time, and the pool is for the disk.
        let work = move || {
            let outcome = own.take(&registry, &digest, &told).and_then(|()| {
                let kept = registry.depot.keep(&name, &path, &digest, size);
                runtime.block_on(kept).map_err(|error| error.to_string())
            });
            told.send_modify(|progress| match outcome {
                Ok(()) => progress.is_done = true,
                Err(reason) => {
                    tracing::warn!(%digest, reason, "a blob could not be fetched");
                    progress.failure = Some(reason.into());
                }
            });
        };
        if let Err(error) = std::thread::Builder::new().name("mirror".to_owned()).spawn(work) {
            tracing::error!(%error, "no thread for a fetch");
        }
        fetch
    }

    fn take(&self, registry: &Registry, digest: &Digest, told: &watch::Sender<Progress>) -> Result<(), String> {
        let mut reader = self.lease.reader();
        let mut hasher = Hasher::new(digest.algorithm());
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    hasher.update(&buffer[..length]);
                    metric::add(&registry.metrics.upstream_bytes, length as u64);
                    told.send_modify(|progress| progress.bytes += length as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.to_string()),
            }
        }
        let found = berth_spec::Digest::parse(hasher.finish().as_str()).map_err(|error| error.to_string())?;
        self.lease.commit(&found).map_err(|error| error.to_string())
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// A part of the blob, as it comes.
    #[must_use]
    pub fn read(self: &Arc<Self>, first: u64, length: u64) -> Payload {
        let (sender, pieces) = mpsc::channel(AHEAD);
        tokio::spawn(follow(Arc::clone(self), first, length, sender));
        Payload::Stream { pieces, left: length }
    }
}

async fn follow(fetch: Arc<Fetch>, first: u64, length: u64, pieces: mpsc::Sender<io::Result<Bytes>>) {
    let mut progress = fetch.progress();
    let mut reader = fetch.lease.reader();
    let (mut at, end, mut skip) = (first, first + length, first);
    while at < end {
        let size = fetch.size;
        let seen = progress.wait_for(|progress| progress.failure.is_some() || progress.visible(size) > at).await;
        let seen = seen.map(|progress| progress.clone());
        let visible = match seen {
            Ok(Progress { failure: None, .. }) => progress.borrow().visible(size),
            Ok(Progress { failure: Some(reason), .. }) => {
                let _ = pieces.send(Err(io::Error::other(reason.to_string()))).await;
                return;
            }
            Err(_) => {
                let _ = pieces.send(Err(io::ErrorKind::BrokenPipe.into())).await;
                return;
            }
        };
        let wanted = usize::try_from(visible.min(end) - at).unwrap_or(READ_BYTES).min(READ_BYTES);
        // These bytes have arrived, so the reader does not wait.
        let read = tokio::task::spawn_blocking(move || {
            let outcome = piece(&mut reader, skip, wanted);
            (reader, outcome)
        });
        let Ok((back, outcome)) = read.await else { return };
        (reader, skip) = (back, 0);
        at += wanted as u64;
        let is_end = outcome.is_err();
        if pieces.send(outcome).await.is_err() || is_end {
            return;
        }
    }
}

fn piece(reader: &mut Reader, skip: u64, length: usize) -> io::Result<Bytes> {
    io::copy(&mut reader.by_ref().take(skip), &mut io::sink())?;
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    Ok(bytes.into())
}
