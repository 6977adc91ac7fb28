//! All records in memory: small, read at start, changed together with the disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use berth_kit::time::Timestamp;
use berth_spec::{Digest, Reference};

use crate::{
    Result,
    record::{IMAGE_TABLE, ImageRecord, LAYER_TABLE, LayerRecord, TAG_TABLE, TagRecord},
};

/// The records. A clone is a cheap, consistent view.
#[derive(Debug, Clone, Default)]
pub struct Index {
    pub images: BTreeMap<Digest, Arc<ImageRecord>>,
    pub layers: BTreeMap<Digest, Arc<LayerRecord>>,
    pub tags: BTreeMap<String, Arc<TagRecord>>,
}

impl Index {
    /// Reads all records; spoiled ones are logged and left out.
    pub fn read(records: &berth_record::Store) -> Result<Self> {
        fn table<S: serde::de::DeserializeOwned>(
            records: &berth_record::Store,
            table: &str,
        ) -> Result<Vec<(String, Arc<S>)>> {
            let (good, bad) = records.summaries::<S>(table)?;
            for error in bad {
                tracing::error!(%error, "a record cannot be read and is left out");
            }
            Ok(good.into_iter().map(|(id, record)| (id, Arc::new(record))).collect())
        }
        let digest = |(id, record): (String, _)| Digest::parse(&id).ok().map(|id| (id, record));
        let images: Vec<(String, Arc<ImageRecord>)> = table(records, IMAGE_TABLE)?;
        let layers: Vec<(String, Arc<LayerRecord>)> = table(records, LAYER_TABLE)?;
        Ok(Self {
            images: images.into_iter().map(|(_, image)| (image.id.clone(), image)).collect(),
            layers: layers.into_iter().filter_map(digest).collect(),
            tags: table(records, TAG_TABLE)?.into_iter().collect(),
        })
    }

    /// The names of an image, in order.
    pub fn tags_of<'a>(&'a self, id: &'a Digest) -> impl Iterator<Item = &'a String> {
        self.tags.iter().filter(move |(_, tag)| &tag.image == id).map(|(name, _)| name)
    }

    /// When an image last got a name.
    pub fn last_tagged(&self, id: &Digest) -> Option<Timestamp> {
        self.tags.values().filter(|tag| &tag.image == id).map(|tag| tag.at).max()
    }

    /// Names and registry digests of an image.
    pub fn references_of(&self, image: &ImageRecord) -> Vec<String> {
        self.tags_of(&image.id).cloned().chain(image.digests.iter().cloned()).collect()
    }

    /// Whether an image was committed on this one.
    pub fn has_children(&self, id: &Digest) -> bool {
        self.images.values().any(|image| image.parent.as_ref() == Some(id))
    }

    /// Bytes of an image's unpacked files.
    pub fn bytes_of(&self, image: &ImageRecord) -> u64 {
        image.chain_ids.iter().filter_map(|chain| self.layers.get(chain)).map(|layer| layer.bytes).sum()
    }

    /// Bytes of the layers that an image shares with others.
    pub fn shared_bytes_of(&self, image: &ImageRecord) -> u64 {
        let shared =
            |chain: &&Digest| self.images.values().any(|other| other.id != image.id && other.chain_ids.contains(chain));
        image.chain_ids.iter().filter(shared).filter_map(|chain| self.layers.get(chain)).map(|layer| layer.bytes).sum()
    }

    /// Chain ids that some image needs.
    pub fn needed_layers(&self) -> BTreeSet<Digest> {
        self.images.values().flat_map(|image| image.chain_ids.iter().cloned()).collect()
    }

    /// The image under a name or registry digest; the name has its tag.
    pub fn named(&self, reference: &Reference) -> Option<&Arc<ImageRecord>> {
        if let Some(digest) = reference.digest() {
            let full = format!("{}@{digest}", reference.familiar_name());
            return self
                .images
                .values()
                .find(|image| image.digests.contains(&full))
                // An image that came without registry is known by its id.
                .or_else(|| self.images.get(digest).filter(|image| self.has_repository(image, reference)));
        }
        self.tags.get(&reference.familiar()).and_then(|tag| self.images.get(&tag.image))
    }

    fn has_repository(&self, image: &ImageRecord, reference: &Reference) -> bool {
        let name = reference.familiar_name();
        self.tags_of(&image.id).any(|tag| Reference::parse(tag).is_ok_and(|tag| tag.familiar_name() == name))
    }
}
