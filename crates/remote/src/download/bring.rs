//! The network's side of a download: parts by ranges, over as many connections as help.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Response, StatusCode, body::Incoming, header};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::JoinSet,
};

use super::Download;
use crate::{Error, Repository, Result, answer::PIECE_PATIENCE, repository::Way, request::Wanted};

/// Connections that may break one after the other without bringing much.
const CUTS_MAX: u32 = 4;
/// Bytes that are worth a connection.
const CUT_BYTES_MIN: u64 = 64 * 1024;
/// Before a broken connection is made again, times the number of breaks.
const CUT_WAIT: Duration = Duration::from_millis(200);
/// Pieces between the connections and the disk.
const PIECES: usize = 32;
/// Connections for one blob, and how long those there are may take before another one is added.
const WORKERS_MAX: usize = 4;
const WORKER_EVERY: Duration = Duration::from_millis(250);

/// What the workers of one download over one way share.
struct Work {
    download: Arc<Download>,
    repository: Arc<Repository>,
    /// Place of the way in the repository's list.
    way: usize,
    claimed: Mutex<BTreeSet<usize>>,
    /// The server has shown that it knows ranges.
    has_ranges: AtomicBool,
    pieces: mpsc::Sender<(u64, Bytes)>,
}

/// Brings all that is missing.
pub async fn run(download: &Arc<Download>, repository: &Arc<Repository>) -> Result<()> {
    if download.partial.frontier() == download.blob.size {
        return Ok(());
    }
    let mut last = Err(repository.no_way());
    for way in repository.ways(|abilities| abilities.pull) {
        let at = repository.ways.iter().position(|own| std::ptr::eq(own, way)).unwrap_or_default();
        last = bring_by(download, repository, at).await;
        if !repository.goes_on(way, &last) {
            break;
        }
    }
    last
}

async fn bring_by(download: &Arc<Download>, repository: &Arc<Repository>, way: usize) -> Result<()> {
    // Its turn among the blobs of a pull; the semaphore is never closed.
    let turn = Arc::clone(&download.connections).acquire_owned().await.ok();
    let (pieces, mut receiver) = mpsc::channel::<(u64, Bytes)>(PIECES);
    let target = Arc::clone(download);
    let writing = tokio::task::spawn_blocking(move || {
        while let Some((offset, bytes)) = receiver.blocking_recv() {
            target.write(offset, &bytes)?;
        }
        Ok(())
    });
    let work = Arc::new(Work {
        download: Arc::clone(download),
        repository: Arc::clone(repository),
        way,
        claimed: Mutex::default(),
        has_ranges: AtomicBool::new(false),
        pieces,
    });
    let received = employ(&work, turn).await;
    drop(work);
    match writing.await {
        Ok(Err(error)) => return Err(error),
        Ok(Ok(())) => {}
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
    received
}

/// Lets workers take the parts: one at first, more while it takes long.
async fn employ(work: &Arc<Work>, turn: Option<OwnedSemaphorePermit>) -> Result<()> {
    let mut workers = JoinSet::new();
    workers.spawn(Arc::clone(work).labour(turn));
    loop {
        let may_grow = workers.len() < WORKERS_MAX && work.has_ranges.load(Ordering::Relaxed) && work.has_free_part();
        tokio::select! {
            outcome = workers.join_next() => match outcome {
                None => return Ok(()),
                // The others are aborted with the set.
                Some(Ok(outcome)) => outcome?,
                Some(Err(error)) => return Err(lost(work, &error)),
            },
            () = tokio::time::sleep(WORKER_EVERY) => {
                // Others come only when a connection is free.
                let turn = Arc::clone(&work.download.connections).try_acquire_owned().ok().filter(|_| may_grow);
                if turn.is_some() {
                    workers.spawn(Arc::clone(work).labour(turn));
                }
            }
        }
    }
}

fn lost(work: &Work, error: &tokio::task::JoinError) -> Error {
    tracing::error!(%error, blob = %work.download.blob.digest, "a download's worker ended");
    Error::Interrupted(work.download.blob.digest.clone())
}

impl Work {
    fn way(&self) -> &Way {
        &self.repository.ways[self.way]
    }

    fn has_free_part(&self) -> bool {
        self.free_part(false).is_some()
    }

    /// The first part that is not complete and that nobody works on.
    fn free_part(&self, claim: bool) -> Option<usize> {
        let partial = &self.download.partial;
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = |part: &usize| {
            let (start, end) = partial.bounds(*part);
            !claimed.contains(part) && partial.have(*part) < end - start
        };
        let part = (0..partial.parts()).find(is_free)?;
        if claim {
            claimed.insert(part);
        }
        Some(part)
    }

    /// Takes part after part until none is free.
    async fn labour(self: Arc<Self>, _turn: Option<OwnedSemaphorePermit>) -> Result<()> {
        while let Some(part) = self.free_part(true) {
            if self.bring(part).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Brings one part, over as many connections as it takes while they bring something; `true` when the server sent
    /// the whole blob instead.
    async fn bring(&self, part: usize) -> Result<bool> {
        let (blob, way) = (&self.download.blob, self.way());
        let (start, mut end) = self.download.partial.bounds(part);
        let (mut at, mut cuts) = (start + self.download.partial.have(part), 0);
        let mut is_whole = false;
        loop {
            let before = at;
            let mut wanted = Wanted::get(format!("blobs/{}", blob.digest), "*/*", &self.repository.familiar);
            // What is asked for without a range is asked for in a way that every server knows.
            if at > 0 || end < blob.size {
                wanted = wanted.with(header::RANGE, &format!("bytes={at}-{}", end - 1));
            }
            let reason = match self.repository.call(way, &wanted).await {
                Ok(response) => {
                    if self.is_everything(&response, at)? {
                        (is_whole, end) = (true, blob.size);
                    }
                    match self.drain(response, &mut at, end).await? {
                        None => return Ok(is_whole),
                        Some(reason) => reason,
                    }
                }
                // The first connection decides whether this way works at all.
                Err(error) if at == start + self.download.partial.have(part) && cuts == 0 => return Err(error),
                Err(error) if error.is_unreachable() => error.to_string(),
                Err(Error::Status { request, status, reason }) if status >= 500 => {
                    format!("{request}: {status} {reason}")
                }
                Err(error) => return Err(error),
            };
            cuts = if at >= before + CUT_BYTES_MIN { 1 } else { cuts + 1 };
            if cuts > CUTS_MAX {
                let (digest, registry) = (blob.digest.clone(), way.endpoint.name());
                let have = self.download.partial.total().max(at - start);
                return Err(Error::Cut { digest, registry, have, size: blob.size, reason });
            }
            tracing::debug!(blob = %blob.digest, at, reason, "a connection broke; the rest is asked for");
            tokio::time::sleep(CUT_WAIT * cuts).await;
        }
    }

    fn wrong_size(&self) -> Error {
        let blob = &self.download.blob;
        Error::WrongSize { digest: blob.digest.clone(), registry: self.way().endpoint.name(), size: blob.size }
    }

    /// Whether an answer brings the blob from its beginning, and not what was asked for from `at` on.
    fn is_everything(&self, response: &Response<Incoming>, at: u64) -> Result<bool> {
        if response.status() != StatusCode::PARTIAL_CONTENT {
            let length =
                response.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
            return if length.is_none_or(|length: u64| length == self.download.blob.size) {
                Ok(true)
            } else {
                Err(self.wrong_size())
            };
        }
        let range = response.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
        let (first, size) = range.and_then(parse_range).ok_or_else(|| self.wrong_size())?;
        if first != at || size.is_some_and(|size| size != self.download.blob.size) {
            return Err(self.wrong_size());
        }
        self.has_ranges.store(true, Ordering::Relaxed);
        Ok(false)
    }

    /// Takes what one answer brings up to `end`; gives why it ended early, if it did.
    async fn drain(&self, response: Response<Incoming>, at: &mut u64, end: u64) -> Result<Option<String>> {
        // A server without ranges sends all again.
        let mut skip = if response.status() == StatusCode::PARTIAL_CONTENT { 0 } else { *at };
        let mut body = response.into_body();
        loop {
            let frame = match tokio::time::timeout(PIECE_PATIENCE, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Ok(Some(crate::connect::causes(&error))),
                Ok(None) if *at == end => return Ok(None),
                Ok(None) => return Ok(Some("the answer is shorter than announced".to_owned())),
                Err(_) => return Ok(Some(format!("nothing came for {} s", PIECE_PATIENCE.as_secs()))),
            };
            let Ok(mut piece) = frame.into_data() else { continue };
            let skipped = skip.min(piece.len() as u64);
            skip -= skipped;
            let piece = piece.split_off(usize::try_from(skipped).unwrap_or(piece.len()));
            if piece.is_empty() {
                continue;
            }
            let offset = *at;
            *at += piece.len() as u64;
            if *at > end {
                return Err(self.wrong_size());
            }
            self.note();
            // A writer that failed says why itself.
            if self.pieces.send((offset, piece)).await.is_err() {
                return Ok(None);
            }
        }
    }

    /// Notes that bytes came by this way.
    fn note(&self) {
        let mut state = self.download.lock();
        if !state.used.contains(&self.way) {
            state.used.push(self.way);
        }
    }
}

/// `bytes 0-9/100`: the first byte, and the size where it is known.
fn parse_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let first = range.split('-').next()?.parse().ok()?;
    Some((first, if size == "*" { None } else { Some(size.parse().ok()?) }))
}
