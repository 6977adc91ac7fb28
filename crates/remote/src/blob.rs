//! A blob on its way into the content store: what a broken connection has brought is kept, and the rest asked for.

use std::{io::Write, time::Duration};

use berth_content::{BlobWriter, Store};
use berth_spec::image::Descriptor;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{Response, StatusCode, body::Incoming, header};
use tokio::sync::mpsc;

use crate::{Error, Repository, Result, answer::PIECE_PATIENCE, repository::Way, request::Wanted};

/// Connections that may break one after the other without bringing much.
const CUTS_MAX: u32 = 4;
/// Bytes that are worth a connection.
const CUT_BYTES_MIN: u64 = 64 * 1024;
/// Before a broken connection is made again, times the number of breaks.
const CUT_WAIT: Duration = Duration::from_millis(200);
/// Pieces between the connection and the disk.
const PIECES: usize = 32;

impl Repository {
    /// Brings a blob into `content`; one that is there is not fetched. `told` gets the number of bytes so far.
    ///
    /// # Errors
    /// [`Error::WrongBlob`], [`Error::WrongSize`], [`Error::Cut`], [`Error::Content`], and those of the connection.
    pub async fn fetch(&self, blob: &Descriptor, content: &Store, told: &(dyn Fn(u64) + Send + Sync)) -> Result<()> {
        if content.contains(&blob.digest) {
            return Ok(());
        }
        let mut last = Err(self.no_way());
        for way in self.ways() {
            last = self.fetch_by(way, blob, content, told).await;
            if !Self::goes_on(way, &last) {
                break;
            }
        }
        last
    }

    async fn fetch_by(
        &self,
        way: &Way,
        blob: &Descriptor,
        content: &Store,
        told: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        let (pieces, receiver) = mpsc::channel(PIECES);
        let mut writer = content.writer()?;
        let writing = tokio::task::spawn_blocking(move || write(receiver, &mut writer).map(|()| writer));
        let received = self.receive(way, blob, &pieces, told).await;
        drop(pieces);
        let writer = match writing.await {
            Ok(outcome) => outcome?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        received?;
        let expected = blob.digest.clone();
        let committed = tokio::task::spawn_blocking(move || writer.commit(Some(&expected))).await;
        match committed {
            Ok(Err(berth_content::Error::Mismatch { expected, found })) => {
                Err(Error::WrongBlob { digest: expected, registry: way.endpoint.origin.to_string(), found })
            }
            Ok(outcome) => outcome.map(drop).map_err(Error::from),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    /// Receives the whole blob, over as many connections as it takes while they bring something.
    async fn receive(
        &self,
        way: &Way,
        blob: &Descriptor,
        pieces: &mpsc::Sender<Bytes>,
        told: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        let (mut have, mut cuts) = (0, 0);
        loop {
            let before = have;
            let path = format!("blobs/{}", blob.digest);
            let wanted = Wanted { path, accept: "*/*", from: have, reference: &self.familiar };
            let reason = match self.get(way, &wanted).await {
                Ok(response) => match self.drain(way, blob, response, &mut have, pieces, told).await? {
                    None => return Ok(()),
                    Some(reason) => reason,
                },
                // The first connection decides whether this way works at all.
                Err(error) if have == 0 => return Err(error),
                Err(error) if error.is_unreachable() => error.to_string(),
                Err(error) => return Err(error),
            };
            cuts = if have >= before + CUT_BYTES_MIN { 1 } else { cuts + 1 };
            if cuts > CUTS_MAX {
                let (digest, registry) = (blob.digest.clone(), way.endpoint.origin.to_string());
                return Err(Error::Cut { digest, registry, have, size: blob.size, reason });
            }
            tracing::debug!(blob = %blob.digest, have, reason, "a connection broke; the rest is asked for");
            tokio::time::sleep(CUT_WAIT * cuts).await;
        }
    }

    /// Takes what one answer brings; gives why it ended early, if it did.
    async fn drain(
        &self,
        way: &Way,
        blob: &Descriptor,
        response: Response<Incoming>,
        have: &mut u64,
        pieces: &mpsc::Sender<Bytes>,
        told: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Option<String>> {
        let wrong_size = || Error::WrongSize {
            digest: blob.digest.clone(),
            registry: way.endpoint.origin.to_string(),
            size: blob.size,
        };
        // A server without ranges sends all again.
        let mut skip = *have - first_byte(&response).filter(|first| first <= have).ok_or_else(wrong_size)?;
        let mut body = response.into_body();
        loop {
            let frame = match tokio::time::timeout(PIECE_PATIENCE, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Ok(Some(crate::connect::causes(&error))),
                Ok(None) if *have == blob.size => return Ok(None),
                Ok(None) => return Ok(Some("the answer is shorter than announced".to_owned())),
                Err(_) => return Ok(Some(format!("nothing came for {} s", PIECE_PATIENCE.as_secs()))),
            };
            let Ok(mut piece) = frame.into_data() else { continue };
            let skipped = skip.min(piece.len() as u64);
            skip -= skipped;
            let piece = piece.split_off(usize::try_from(skipped).unwrap_or(piece.len()));
            *have += piece.len() as u64;
            if *have > blob.size {
                return Err(wrong_size());
            }
            // A writer that failed says why itself.
            if !piece.is_empty() && pieces.send(piece).await.is_err() {
                return Ok(None);
            }
            told(*have);
        }
    }
}

/// Where an answer's body begins in the blob; `None` when it does not say so.
fn first_byte(response: &Response<Incoming>) -> Option<u64> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Some(0);
    }
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn write(mut pieces: mpsc::Receiver<Bytes>, writer: &mut BlobWriter) -> Result<()> {
    while let Some(piece) = pieces.blocking_recv() {
        writer.write_all(&piece).map_err(|source| berth_content::Error::Write { source })?;
    }
    Ok(())
}
