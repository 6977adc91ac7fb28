//! One layer: its archive kept as a blob, unpacked by its chain id.
//!
//! ```text
//! archive ─► store ─► blob (as it came when compressed, zstd otherwise)
//! blob, or what has arrived of it ─► pipe: decompress, hash (own threads) ─► unpack into a draft
//!      ─► digests right? ─► commit, lowest first
//! ```

use std::{
    io::{self, BufReader, Read, Write},
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use berth_archive::{
    Compression, IdShift, compression,
    hash::Hashing,
    unpack::{Limits, Whiteouts, unpack_layer},
};
use berth_snapshot::LayerDraft;
use berth_spec::{Digest, progress::Progress};

use crate::{
    Error, Result,
    arrival::Arrival,
    images::Shared,
    pipe,
    record::LayerRecord,
    stream::{ProgressSender, tell},
};

/// Layers unpacked at the same time, at most; not more than there are processors.
const WORKERS_MAX: usize = 4;
/// Most layers of an image: what one overlay mount takes with room for more.
const LAYERS_MAX: usize = 400;
/// Fastest worthwhile compression of archives that come without.
const ZSTD_LEVEL: i32 = 1;
/// Bytes between two lines of progress.
const PROGRESS_STEP_BYTES: u64 = 4 << 20;

/// An archive in the content store.
#[derive(Debug, Clone)]
pub struct Stored {
    pub blob: Digest,
    pub blob_bytes: u64,
    /// Digest of the bytes as they came.
    pub raw: Digest,
    /// How they came.
    pub compression: Compression,
}

/// Keeps an archive: compressed ones as they are, others with zstd.
pub fn store(content: &berth_content::Store, reader: impl Read) -> Result<Stored> {
    let mut reader = BufReader::with_capacity(berth_archive::BUFFER_BYTES, reader);
    let compression = compression::detect(&mut reader)?;
    let mut writer = content.writer()?;
    if compression != Compression::None {
        copy(&mut reader, &mut writer)?;
        let blob_bytes = writer.size();
        let blob = writer.commit(None)?;
        return Ok(Stored { raw: blob.clone(), blob, blob_bytes, compression });
    }
    let mut hashing = Hashing::new(&mut reader);
    let mut encoder = compression::zstd_encoder(&mut writer, ZSTD_LEVEL)?;
    copy(&mut hashing, &mut encoder)?;
    encoder.finish().map_err(|source| berth_archive::Error::Write { source })?;
    let (_, raw, _) = hashing.finish();
    let blob_bytes = writer.size();
    Ok(Stored { blob: writer.commit(None)?, blob_bytes, raw, compression })
}

/// Digest of the uncompressed archive in a blob.
pub fn diff_id(content: &berth_content::Store, stored: &Stored) -> Result<Digest> {
    if stored.compression == Compression::None {
        return Ok(stored.raw.clone());
    }
    let mut hashing = Hashing::new(compression::decoder(content.open_blob(&stored.blob)?)?);
    io::copy(&mut hashing, &mut io::sink()).map_err(read_failed)?;
    Ok(hashing.finish().1)
}

fn copy(reader: &mut impl Read, writer: &mut impl Write) -> Result<()> {
    let mut buffer = vec![0; berth_archive::BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => {
                writer.write_all(&buffer[..length]).map_err(|source| berth_archive::Error::Write { source })?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(read_failed(error)),
        }
    }
}

/// A failed read; an archive's own error comes out as itself.
pub fn read_failed(source: io::Error) -> Error {
    match source.downcast::<berth_archive::Error>() {
        Ok(own) => own.into(),
        Err(source) => berth_archive::Error::Read { source }.into(),
    }
}

/// A layer to be made of a stored archive.
#[derive(Debug, Clone)]
pub struct Plan {
    pub stored: Stored,
    /// What the uncompressed archive's digest must be.
    pub diff_id: Digest,
    pub chain_id: Digest,
    pub parent: Option<Digest>,
    /// The blob on its way here; `None` when it is here.
    pub arrival: Option<Arc<Arrival>>,
    /// The layer's name in the progress of a pull; `None` for everything else.
    pub pulled_as: Option<String>,
}

/// The plans for the layers of an image, lowest first.
pub fn plans(diff_ids: &[Digest], stored: Vec<Stored>) -> Result<Vec<Plan>> {
    if diff_ids.len() > LAYERS_MAX {
        return Err(Error::archive(format!("{} layers, more than the {LAYERS_MAX} supported", diff_ids.len())));
    }
    if diff_ids.len() != stored.len() {
        let reason = format!("{} layers, but {} in the configuration", stored.len(), diff_ids.len());
        return Err(Error::archive(reason));
    }
    let chain_ids = crate::record::chain_ids(diff_ids);
    let parents = std::iter::once(None).chain(chain_ids.iter().cloned().map(Some));
    let parts = diff_ids.iter().zip(&chain_ids).zip(parents).zip(stored);
    Ok(parts
        .map(|(((diff_id, chain_id), parent), stored)| Plan {
            stored,
            diff_id: diff_id.clone(),
            chain_id: chain_id.clone(),
            parent,
            arrival: None,
            pulled_as: None,
        })
        .collect())
}

/// Makes the layers that are not here yet: all are unpacked, two at a time, before the first is committed. Must be
/// called inside a [`crate::collect::Build`].
pub fn make(shared: &Shared, mut plans: Vec<Plan>, progress: Option<&ProgressSender>) -> Result<()> {
    plans.retain(|plan| !is_here(shared, &plan.chain_id));
    let mut seen = std::collections::HashSet::new();
    plans.retain(|plan| seen.insert(plan.chain_id.clone()));
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Option<Unpacked>>> = Mutex::new(plans.iter().map(|_| None).collect());
    let failure: Mutex<Option<Error>> = Mutex::default();
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(plan) = plans.get(at).filter(|_| lock(&failure).is_none()) else { return };
            match unpack(shared, plan, progress) {
                Ok(unpacked) => lock(&done)[at] = Some(unpacked),
                Err(error) => {
                    // The first failure is the one that is told.
                    lock(&failure).get_or_insert(error);
                    plans.iter().filter_map(|plan| plan.arrival.as_ref()).for_each(|arrival| arrival.cancel());
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let workers = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, WORKERS_MAX);
        for _ in 1..workers.min(plans.len()) {
            scope.spawn(work);
        }
        work();
    });
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (plan, unpacked) in plans.iter().zip(done.into_iter().flatten()) {
        shared.snapshots.commit_layer(unpacked.draft, unpacked.bytes)?;
        let record = LayerRecord {
            diff_id: plan.diff_id.clone(),
            blob: plan.stored.blob.clone(),
            blob_bytes: plan.stored.blob_bytes,
            archive_bytes: unpacked.archive_bytes,
            bytes: unpacked.bytes,
        };
        shared.put_layer(&plan.chain_id, record)?;
        if let Some(id) = &plan.pulled_as {
            tell(progress, Progress::step(id, "Pull complete", 0, 0));
        }
    }
    Ok(())
}

/// Whether a layer needs no making.
pub fn is_here(shared: &Shared, chain_id: &Digest) -> bool {
    shared.view(|index| index.layers.contains_key(chain_id)) && shared.snapshots.layer_size(chain_id.as_str()).is_ok()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Unpacked {
    draft: LayerDraft,
    archive_bytes: u64,
    bytes: u64,
}

/// Unpacks one layer, from its blob or while that arrives.
fn unpack(shared: &Shared, plan: &Plan, progress: Option<&ProgressSender>) -> Result<Unpacked> {
    let Some(arrival) = &plan.arrival else {
        return unpack_from(shared, plan, shared.content.open_blob(&plan.stored.blob)?, progress)
            .map(|(unpacked, _)| unpacked);
    };
    loop {
        let lease = arrival.lease();
        let outcome = match unpack_from(shared, plan, lease.reader(), progress) {
            Ok((unpacked, found)) => lease.commit(&found).map(|()| unpacked).map_err(Error::from),
            Err(error) => Err(match lease.failure() {
                Some(failure) => failure.into(),
                // Whatever an archive is accused of, the wrong bytes come first.
                None => lease.verify().err().map_or(error, Error::from),
            }),
        };
        match outcome {
            Err(Error::Remote(berth_remote::Error::WrongBlob { .. })) if arrival.again()? => {}
            outcome => return outcome,
        }
    }
}

/// Unpacks the blob that `reader` gives; gives the digest of the blob itself too.
fn unpack_from(
    shared: &Shared,
    plan: &Plan,
    reader: impl Read + Send,
    progress: Option<&ProgressSender>,
) -> Result<(Unpacked, Digest)> {
    let mut draft = shared.snapshots.draft_layer(plan.chain_id.as_str(), plan.parent.as_ref().map(Digest::as_str))?;
    let dir: OwnedFd = std::fs::File::open(&draft.dir)
        .map_err(|source| Error::File { act: "open", path: draft.dir.display().to_string(), source })?
        .into();
    let blob = Hashing::new(Meter { inner: reader, plan, progress, current: 0, told: 0 });
    let is_arriving = plan.arrival.is_some();
    let (unpacked, read) = pipe::through(blob, is_arriving, |archive| {
        unpack_layer(archive, dir.as_fd(), &Limits::default(), Whiteouts::Overlay, IdShift::default())
    });
    let (bytes, read) = (unpacked?.bytes, read?);
    if read.archive != plan.diff_id {
        return Err(Error::WrongLayer { expected: plan.diff_id.to_string(), found: read.archive.to_string() });
    }
    // All of an image reach the disk with one sync.
    draft.seal(bytes)?;
    Ok((Unpacked { draft, archive_bytes: read.archive_bytes, bytes }, read.blob))
}

/// Tells how much of a blob has been read.
struct Meter<'p, R> {
    inner: R,
    plan: &'p Plan,
    progress: Option<&'p ProgressSender>,
    current: u64,
    told: u64,
}

impl<R: Read> Read for Meter<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.current += length as u64;
        let total = self.plan.stored.blob_bytes;
        // The lines of a download come first.
        if let Some(arrival) = &self.plan.arrival {
            if !arrival.lease().is_complete() {
                return Ok(length);
            }
            arrival.news().into_iter().for_each(|line| tell(self.progress, line));
        }
        if self.current >= self.told + PROGRESS_STEP_BYTES || (length > 0 && self.current == total) {
            self.told = self.current;
            let line = match &self.plan.pulled_as {
                Some(id) => Progress::step(id, "Extracting", self.current, total),
                None => {
                    let id = berth_kit::id::short(self.plan.diff_id.hex());
                    Progress::step(id, "Loading layer", self.current, total)
                }
            };
            tell(self.progress, line);
        }
        Ok(length)
    }
}
