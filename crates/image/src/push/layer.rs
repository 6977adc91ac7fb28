//! One layer on its way to a registry: in the form that registries and other engines take.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use berth_archive::{Compression, compression};
use berth_remote::{Contents, Repository, Told, Uploaded};
use berth_spec::{
    Digest, Reference,
    image::{DOCKER_LAYER, Descriptor, OCI_LAYER},
    progress::Progress,
};

use super::NEIGHBOURS_MAX;
use crate::{Error, Images, Result, images::Shared, known::Place, record::LayerRecord, stream::ProgressSender};

/// Bytes between two lines of progress.
const PROGRESS_STEP_BYTES: u64 = 512 << 10;
/// gzip's own default.
const GZIP_LEVEL: u32 = 6;

/// A layer, and what is known of it.
#[derive(Debug, Clone)]
pub struct Form {
    pub diff_id: Digest,
    pub record: Arc<LayerRecord>,
    pub places: Vec<Place>,
    /// How the blob here is compressed.
    pub compression: Compression,
}

/// A layer that the registry has now.
pub struct Sent {
    pub blob: Descriptor,
    pub uploaded: Uploaded,
}

impl Form {
    /// Looks at the layer's blob.
    pub fn of(shared: &Shared, record: &Arc<LayerRecord>) -> Result<Self> {
        let mut head = [0; 8];
        let mut file = shared.content.open_blob(&record.blob)?;
        let length = io::Read::read(&mut file, &mut head).map_err(crate::layer::read_failed)?;
        Ok(Self {
            diff_id: record.diff_id.clone(),
            record: Arc::clone(record),
            places: shared.known_layer(&record.diff_id)?.places,
            compression: compression::of_head(&head[..length])?,
        })
    }

    /// Its name in progress lines.
    pub fn shown(&self) -> String {
        berth_kit::id::short(self.diff_id.hex()).to_owned()
    }

    /// Repositories of the registry of `reference`, other than its own, that have the layer; the latest first.
    pub fn neighbours(&self, reference: &Reference) -> Vec<String> {
        let near = self.places.iter().rev().filter(|place| place.domain == reference.domain());
        let mut paths: Vec<String> =
            near.filter(|place| place.path != reference.path()).map(|place| place.path.clone()).collect();
        paths.dedup();
        paths.truncate(NEIGHBOURS_MAX);
        paths
    }

    /// The blob as it is here, when registries take it so: gzip always; zstd and plain when it came so.
    fn as_it_is(&self) -> Option<Descriptor> {
        let came = self.places.iter().rev().find(|place| place.digest == self.record.blob);
        let media_type = match (self.compression, came) {
            (_, Some(place)) => place.media_type.clone(),
            (Compression::Gzip, None) => DOCKER_LAYER.to_owned(),
            _ => return None,
        };
        Some(crate::save::descriptor(&media_type, self.record.blob.clone(), self.record.blob_bytes))
    }

    /// The gzip form that some registry has, when there is none here.
    fn elsewhere(&self) -> Option<Descriptor> {
        let gzip = |place: &&Place| place.media_type.ends_with("gzip");
        let place = self.places.iter().rev().find(gzip)?;
        Some(crate::save::descriptor(&place.media_type, place.digest.clone(), place.size))
    }
}

/// Sees to it that the registry has the layer.
pub async fn send(
    images: &Images,
    repository: &Repository,
    form: &Form,
    reference: &Reference,
    progress: Option<&ProgressSender>,
) -> Result<Sent> {
    let neighbours = form.neighbours(reference);
    if let Some(blob) = form.as_it_is() {
        let file = open(images, &blob.digest).await?;
        let uploaded = upload(repository, form, &blob, file, &neighbours, progress).await?;
        return Ok(Sent { blob, uploaded });
    }
    // Compressing costs more than asking.
    if let Some(blob) = form.elsewhere() {
        if repository.has_blob(&blob.digest).await? {
            return Ok(Sent { blob, uploaded: Uploaded::Existed });
        }
        for neighbour in &neighbours {
            if repository.mount_blob(&blob, neighbour).await? {
                return Ok(Sent { blob, uploaded: Uploaded::Mounted(neighbour.clone()) });
            }
        }
    }
    let layer = Arc::clone(&form.record);
    let (digest, size) = images.blocking(move |shared| compress(shared, &layer)).await?;
    let blob = crate::save::descriptor(DOCKER_LAYER, digest, size);
    let file = open(images, &blob.digest).await?;
    let uploaded = upload(repository, form, &blob, file, &neighbours, progress).await?;
    Ok(Sent { blob, uploaded })
}

async fn open(images: &Images, digest: &Digest) -> Result<Arc<std::fs::File>> {
    let digest = digest.clone();
    images.blocking(move |shared| Ok(Arc::new(shared.content.open_blob(&digest)?))).await
}

async fn upload(
    repository: &Repository,
    form: &Form,
    blob: &Descriptor,
    file: Arc<std::fs::File>,
    neighbours: &[String],
    progress: Option<&ProgressSender>,
) -> Result<Uploaded> {
    let told = progress.cloned().map(|progress| {
        let (shown, size, last) = (form.shown(), blob.size, AtomicU64::new(0));
        let told: Told = Arc::new(move |current| {
            if current < last.load(Ordering::Relaxed) + PROGRESS_STEP_BYTES && current != size {
                return;
            }
            last.store(current, Ordering::Relaxed);
            // A slow client misses a line.
            let _ = progress.try_send(Progress::step(&shown, "Pushing", current, size));
        });
        told
    });
    Ok(repository.upload(blob, &Contents::File(file), neighbours, told).await?)
}

/// The layer's archive as gzip, in the content store; nothing keeps it there after the push.
pub(super) fn compress(shared: &Shared, layer: &LayerRecord) -> Result<(Digest, u64)> {
    let writer = shared.content.writer()?;
    let mut encoder = compression::gzip_encoder(writer, GZIP_LEVEL);
    let mut archive = berth_archive::hash::Hashing::new(compression::decoder(shared.content.open_blob(&layer.blob)?)?);
    let mut buffer = vec![0; berth_archive::BUFFER_BYTES];
    loop {
        match io::Read::read(&mut archive, &mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                encoder.write_all(&buffer[..length]).map_err(|source| berth_archive::Error::Write { source })?;
            }
            Err(error) => return Err(crate::layer::read_failed(error)),
        }
    }
    let (_, found, _) = archive.finish();
    if found != layer.diff_id {
        let reason = format!("its stored layer has the digest {found}");
        return Err(Error::Damaged { id: layer.diff_id.to_string(), reason });
    }
    let writer = encoder.finish().map_err(|source| berth_archive::Error::Write { source })?;
    let size = writer.size();
    Ok((writer.commit(None)?, size))
}

/// Whether a manifest in Docker's own form can name this layer.
pub fn is_docker(media_type: &str) -> bool {
    media_type == DOCKER_LAYER
}

/// The OCI type of a layer of any type.
pub fn oci_type(media_type: &str) -> String {
    match media_type {
        gzip if gzip.ends_with("gzip") => format!("{OCI_LAYER}+gzip"),
        zstd if zstd.ends_with("zstd") => format!("{OCI_LAYER}+zstd"),
        _ => OCI_LAYER.to_owned(),
    }
}
