//! What is kept on disk about images, layers and tags.

use berth_kit::time::Timestamp;
use berth_spec::{Digest, image::ImageConfig};
use serde::{Deserialize, Serialize};

/// Table of [`ImageRecord`]s by image id.
pub const IMAGE_TABLE: &str = "image";
/// Table of [`LayerRecord`]s by chain id.
pub const LAYER_TABLE: &str = "layer";
/// Table of [`TagRecord`]s by familiar reference.
pub const TAG_TABLE: &str = "tag";
/// Version of all three, in the body; lists need only the summary.
pub const VERSION: u32 = 1;

/// An image that is here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Digest of the configuration blob.
    pub id: Digest,
    /// The configuration, parsed.
    pub config: ImageConfig,
    /// Of the configuration blob.
    pub config_bytes: u64,
    /// One for each layer, lowest first (OCI image specification, "Layer ChainID").
    pub chain_ids: Vec<Digest>,
    /// The image it was committed on.
    #[serde(default)]
    pub parent: Option<Digest>,
    /// `repository@digest` under which registries know it.
    #[serde(default)]
    pub digests: Vec<String>,
    /// When a container was last made from it.
    #[serde(default)]
    pub last_used: Option<Timestamp>,
}

/// A layer that is here, on top of those below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Digest of the uncompressed archive.
    pub diff_id: Digest,
    /// The blob that holds the archive, compressed or not.
    pub blob: Digest,
    /// Length of the blob in bytes.
    pub blob_bytes: u64,
    /// Length of the uncompressed archive in bytes.
    pub archive_bytes: u64,
    /// Bytes of the unpacked files.
    pub bytes: u64,
}

/// A name of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRecord {
    /// The image.
    pub image: Digest,
    /// When the name was given.
    pub at: Timestamp,
}

/// The chain ids of layers with these diff ids.
pub fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        let next = match chain.last() {
            None => diff_id.clone(),
            Some(below) => berth_archive::hash::digest(format!("{below} {diff_id}").as_bytes()),
        };
        chain.push(next);
    }
    chain
}
