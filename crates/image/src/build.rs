//! What a builder needs of the images: layers that it made itself, images over them, and a say in what is kept.

use std::sync::Arc;

use berth_record::Durability;
use berth_spec::{Digest, image::ImageConfig};

use crate::{
    Images, Result,
    images::Shared,
    load::store_image,
    record::{ImageRecord, LayerRecord},
    tag,
};

/// Tells which layers are needed beside those of images; given by whoever keeps layers for later.
pub trait Keeper: Send + Sync {
    /// Chain ids of the topmost layers that are needed; those below them stay by themselves.
    fn layers(&self) -> Vec<Digest>;
    /// Blobs that are needed beside those of layers and images.
    fn blobs(&self) -> Vec<Digest>;
    /// When that of what may go was used last which was used longest ago; `None` when nothing may go.
    fn oldest_use(&self) -> Option<berth_kit::time::Timestamp> {
        None
    }
    /// Gives up what [`Keeper::oldest_use`] told of; whether there was anything.
    fn forget_oldest(&self) -> bool {
        false
    }
}

/// A layer that somebody else committed to the snapshotter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnLayer {
    /// Its name in the snapshotter (OCI image specification, "Layer ChainID").
    pub chain_id: Digest,
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// The blob that holds the archive.
    pub blob: Digest,
    /// Length of the blob in bytes.
    pub blob_bytes: u64,
    /// Length of the uncompressed archive in bytes.
    pub archive_bytes: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

/// While it lives, nothing is collected; what was brought in and is needed by nobody goes after it.
pub struct Hold {
    shared: Arc<Shared>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let shared = Arc::clone(&self.shared);
        let release = move || {
            let build = crate::collect::Build::resume(&shared);
            build.tidy();
        };
        // A collection reads directories: not on a runtime's worker.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(release)),
            Err(_) => release(),
        }
    }
}

impl Images {
    /// Says who keeps layers beside the images; only the first call counts.
    pub fn set_keeper(&self, keeper: Arc<dyn Keeper>) {
        let _ = self.shared.keeper.set(keeper);
    }

    /// Keeps what is brought in from being collected before a record needs it.
    #[must_use]
    pub fn hold(&self) -> Hold {
        std::mem::forget(crate::collect::Build::begin(&self.shared));
        Hold { shared: Arc::clone(&self.shared) }
    }

    /// Removes what neither an image nor the keeper needs, at once or after the last hold.
    ///
    /// # Errors
    /// [`crate::Error::Snapshot`], [`crate::Error::Content`], [`crate::Error::Record`].
    pub async fn collect(&self) -> Result<crate::Swept> {
        self.blocking(Shared::collect).await
    }

    /// The blobs are kept here.
    #[must_use]
    pub fn content(&self) -> &berth_content::Store {
        &self.shared.content
    }

    /// Notes a layer that is in the snapshotter and whose blob is in the content store.
    ///
    /// # Errors
    /// [`crate::Error::Record`].
    pub fn adopt_layer(&self, layer: &OwnLayer) -> Result<()> {
        let record = LayerRecord {
            diff_id: layer.diff_id.clone(),
            blob: layer.blob.clone(),
            blob_bytes: layer.blob_bytes,
            archive_bytes: layer.archive_bytes,
            bytes: layer.bytes,
        };
        self.shared.put_layer(&layer.chain_id, record)
    }

    /// The layer with this chain id; `None` unless its record, its blob and its files are all here.
    #[must_use]
    pub fn layer(&self, chain_id: &Digest) -> Option<OwnLayer> {
        let record = self.shared.view(|index| index.layers.get(chain_id).cloned())?;
        if !crate::layer::is_here(&self.shared, chain_id) || !self.shared.content.contains(&record.blob) {
            return None;
        }
        Some(OwnLayer {
            chain_id: chain_id.clone(),
            diff_id: record.diff_id.clone(),
            blob: record.blob.clone(),
            blob_bytes: record.blob_bytes,
            archive_bytes: record.archive_bytes,
            bytes: record.bytes,
        })
    }

    /// The chain ids of an image's layers, lowest first.
    ///
    /// # Errors
    /// [`crate::Error::Missing`].
    pub fn chain_of(&self, id: &Digest) -> Result<Vec<Digest>> {
        Ok(self.shared.image(id)?.chain_ids.clone())
    }

    /// Makes an image of a configuration whose layers are here, and gives it names.
    ///
    /// # Errors
    /// [`crate::Error::Reference`] for a wrong name, [`crate::Error::Content`], [`crate::Error::Record`].
    pub fn adopt_image(&self, config: &[u8], names: &[String]) -> Result<Digest> {
        let names: Vec<String> = names.iter().map(|name| tag::target(name, "")).collect::<Result<_>>()?;
        let parsed: ImageConfig = crate::load::parse_config(config)?;
        let shared = &self.shared;
        let _changes = shared.lock_changes();
        let id = store_image(shared, config, parsed, None)?;
        let image = shared.image(&id)?;
        for name in &names {
            shared.put_tag(name, &id)?;
            shared.publish("tag", &image, name);
        }
        Ok(id)
    }

    /// Notes under which registry digest an image is known.
    ///
    /// # Errors
    /// [`crate::Error::Missing`], [`crate::Error::Record`].
    pub fn add_digest(&self, id: &Digest, name: &str) -> Result<()> {
        let mut record = ImageRecord::clone(&*self.shared.image(id)?);
        if !record.digests.iter().any(|known| known == name) {
            record.digests.push(name.to_owned());
            self.shared.put_image(record, Durability::Power)?;
        }
        Ok(())
    }
}
