//! Blobs on their way here.
//!
//! ```text
//! Client::download ─► one Download a digest, however many want it (a Lease each)
//!   task: for each way ─► workers take parts (see bring) ─► Partial on disk: bytes and book
//!   readers, on threads: bytes in order as far as they have come without a gap
//!   last Lease gone ─► the task ends; what has arrived stays for the next time
//! reader's hash ─► Lease::commit ─► a blob, or nothing
//! ```

mod bring;
mod fetch;

use std::{
    collections::HashMap,
    io::{self, Read},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use berth_content::{Partial, Store};
use berth_spec::{Digest, image::Descriptor};
use tokio::sync::{Semaphore, watch};

use crate::{Client, Error, Repository, Result};

/// Bytes of a part: what is fetched again at most when nothing of it was noted.
pub const PART_BYTES: u32 = 8 << 20;

/// Downloads under way, by digest.
#[derive(Debug, Default)]
pub struct Downloads {
    running: Mutex<HashMap<Digest, Weak<Download>>>,
}

impl Downloads {
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Weak<Download>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A blob on its way here.
#[derive(Debug)]
pub struct Download {
    blob: Descriptor,
    partial: Partial,
    state: Mutex<State>,
    moved: Condvar,
    ended: watch::Sender<bool>,
    leases: AtomicUsize,
    /// Connections at a time, for all blobs of one pull.
    connections: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes here without a gap, from the beginning.
    frontier: u64,
    outcome: Option<std::result::Result<(), Arc<Error>>>,
    /// Ways that bytes came by, as places in the repository's list.
    used: Vec<usize>,
    task: Option<tokio::task::AbortHandle>,
}

impl Client {
    /// Begins to download a blob, or joins whoever does already. Must be called inside a runtime.
    ///
    /// # Errors
    /// [`Error::Content`] when there is no place for it.
    pub fn download(&self, repository: &Arc<Repository>, blob: &Descriptor, content: &Store) -> Result<Lease> {
        let mut running = self.shared.downloads.lock();
        running.retain(|_, download| download.strong_count() > 0);
        if let Some(download) = running.get(&blob.digest).and_then(Weak::upgrade)
            && download.blob.size == blob.size
            && download.join()
        {
            return Ok(Lease::new(download, repository, false));
        }
        let partial = content.partial(&blob.digest, blob.size, PART_BYTES)?;
        let state = State { frontier: partial.frontier(), ..State::default() };
        let download = Arc::new(Download {
            blob: blob.clone(),
            partial,
            state: Mutex::new(state),
            moved: Condvar::new(),
            ended: watch::Sender::new(false),
            leases: AtomicUsize::new(1),
            connections: Arc::clone(&repository.connections),
        });
        let (own, way) = (Arc::clone(&download), Arc::clone(repository));
        let task = tokio::spawn(async move {
            let outcome = bring::run(&own, &way).await;
            own.end(outcome.map_err(Arc::new));
        });
        download.lock().task = Some(task.abort_handle());
        running.insert(blob.digest.clone(), Arc::downgrade(&download));
        Ok(Lease::new(download, repository, true))
    }
}

impl Download {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes part; not in what has failed. Whoever calls holds the list of downloads.
    fn join(&self) -> bool {
        let state = self.lock();
        let is_alive = !matches!(state.outcome, Some(Err(_)));
        if is_alive {
            self.leases.fetch_add(1, Ordering::Relaxed);
        }
        is_alive
    }

    fn end(&self, outcome: std::result::Result<(), Arc<Error>>) {
        self.lock().outcome.get_or_insert(outcome);
        self.moved.notify_all();
        self.ended.send_replace(true);
    }

    /// Puts bytes to their place and lets the readers know.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.partial.write(offset, bytes)?;
        let frontier = self.partial.frontier();
        let mut state = self.lock();
        if frontier > state.frontier {
            state.frontier = frontier;
            self.moved.notify_all();
        }
        Ok(())
    }
}

/// A share in a download; the last one to go ends it.
#[derive(Debug)]
pub struct Lease {
    download: Arc<Download>,
    repository: Arc<Repository>,
    is_own: bool,
    is_cancelled: Arc<AtomicBool>,
}

impl Lease {
    fn new(download: Arc<Download>, repository: &Arc<Repository>, is_own: bool) -> Self {
        Self { download, repository: Arc::clone(repository), is_own, is_cancelled: Arc::default() }
    }

    /// Ends the readers of this lease with an error; others go on.
    pub fn cancel(&self) {
        let state = self.download.lock();
        self.is_cancelled.store(true, Ordering::Relaxed);
        self.download.moved.notify_all();
        drop(state);
    }

    /// Why no more bytes come.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        if self.is_cancelled.load(Ordering::Relaxed) {
            return Some(Error::Interrupted(self.download.blob.digest.clone()));
        }
        self.outcome().err()
    }

    /// Whether all bytes are here.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.download.lock().frontier == self.download.blob.size
    }

    /// Reads it all to its end, hashes it, and makes it a blob.
    ///
    /// # Errors
    /// As [`Lease::commit`], and those of the download.
    pub fn verify(&self) -> Result<()> {
        fetch::take(self)
    }

    /// Bytes that have arrived, those of an earlier life included.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.download.partial.total()
    }

    /// Waits until all has arrived.
    ///
    /// # Errors
    /// Those of the registry's ways; [`Error::Shared`] around them.
    pub async fn finished(&self) -> Result<()> {
        let mut ended = self.download.ended.subscribe();
        // The sender lives as long as the download.
        let _ = ended.wait_for(|ended| *ended).await;
        self.outcome()
    }

    /// How it ended; success while it has not.
    fn outcome(&self) -> Result<()> {
        match &self.download.lock().outcome {
            Some(Err(error)) => Err(Error::Shared(Arc::clone(error))),
            _ => Ok(()),
        }
    }

    /// Reads the blob from its beginning, on a thread that may block.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader { download: Arc::clone(&self.download), is_cancelled: Arc::clone(&self.is_cancelled), at: 0 }
    }

    /// Makes it a blob, when the digest that its reader has `found` is the right one. Otherwise nothing is kept, and
    /// [`Lease::is_worth_another`] tells whether to begin again.
    ///
    /// # Errors
    /// [`Error::WrongBlob`], [`Error::Content`].
    pub fn commit(&self, found: &Digest) -> Result<()> {
        match self.download.partial.commit(found) {
            Err(berth_content::Error::Mismatch { expected, found }) => {
                let used = std::mem::take(&mut self.download.lock().used);
                let ways: Vec<_> = used.iter().filter_map(|at| self.repository.ways.get(*at)).collect();
                let names: Vec<String> = ways.iter().map(|way| way.endpoint.name()).collect();
                for way in ways.iter().filter(|way| way.endpoint.is_mirror) {
                    way.bury();
                    self.repository.client.shared.health.failed(&way.endpoint.name(), None);
                }
                let registry = if names.is_empty() { self.repository.familiar.clone() } else { names.join(", ") };
                let wrong =
                    || Error::WrongBlob { digest: expected.clone(), registry: registry.clone(), found: found.clone() };
                // Nobody joins this any more.
                self.download.lock().outcome = Some(Err(Arc::new(wrong())));
                self.download.ended.send_replace(true);
                self.download.moved.notify_all();
                Err(wrong())
            }
            outcome => Ok(outcome?),
        }
    }

    /// Whether wrong bytes may be the fault of a mirror, of an earlier life, or of the repository of another pull.
    #[must_use]
    pub fn is_worth_another(&self) -> bool {
        !self.is_own
            || self.download.partial.was_there()
            || self.repository.ways.iter().any(|way| way.endpoint.is_mirror && way.is_dead())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut running = self.repository.client.shared.downloads.lock();
        if self.download.leases.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        let is_listed = running.get(&self.download.blob.digest).and_then(Weak::upgrade);
        if is_listed.is_some_and(|listed| Arc::ptr_eq(&listed, &self.download)) {
            running.remove(&self.download.blob.digest);
        }
        drop(running);
        if let Some(task) = self.download.lock().task.take() {
            task.abort();
        }
        self.download.end(Err(Arc::new(Error::Interrupted(self.download.blob.digest.clone()))));
    }
}

/// Reads a blob while it arrives.
#[derive(Debug)]
pub struct Reader {
    download: Arc<Download>,
    is_cancelled: Arc<AtomicBool>,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let download = &self.download;
        if self.at == download.blob.size || buffer.is_empty() {
            return Ok(0);
        }
        let frontier = {
            let mut state = download.lock();
            loop {
                if self.is_cancelled.load(Ordering::Relaxed) {
                    return Err(io::Error::other(Error::Interrupted(download.blob.digest.clone())));
                }
                if state.frontier > self.at {
                    break;
                }
                if let Some(Err(error)) = &state.outcome {
                    return Err(io::Error::other(Error::Shared(Arc::clone(error))));
                }
                state = download.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.frontier
        };
        let length = usize::try_from(frontier - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let length = download.partial.read_at(&mut buffer[..length], self.at)?;
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += length as u64;
        Ok(length)
    }
}
