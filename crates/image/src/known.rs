//! What is known of images on registries: under which digests, and in which repositories, their layers lie there.

use berth_record::Durability;
use berth_spec::{Digest, Reference};
use serde::{Deserialize, Serialize};

use crate::{Result, images::Shared, record::VERSION};

/// Table of [`KnownLayer`]s by diff id.
pub const KNOWN_TABLE: &str = "known-layer";
/// Table of [`KnownManifest`]s by image id.
pub const MANIFEST_TABLE: &str = "known-manifest";
/// Most places that are remembered of a layer.
const PLACES_MAX: usize = 32;

/// The forms of a layer on registries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownLayer {
    /// The latest last.
    pub places: Vec<Place>,
}

/// Where a layer lies, and in which form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// `docker.io`, `host:port`.
    pub domain: String,
    /// `library/debian`.
    pub path: String,
    /// Of the blob there.
    pub digest: Digest,
    /// Of the blob there, in bytes.
    pub size: u64,
    /// Of the blob there.
    pub media_type: String,
}

/// The manifest that an image came with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownManifest {
    /// Its digest.
    pub digest: Digest,
    /// As the registry or the document says.
    pub media_type: String,
    /// The document itself.
    pub text: String,
}

impl Shared {
    /// What is known of the layer with this diff id.
    pub fn known_layer(&self, diff_id: &Digest) -> Result<KnownLayer> {
        Ok(self.records.get(KNOWN_TABLE, diff_id.as_str())?.unwrap_or_default())
    }

    /// Notes where a layer lies.
    pub fn note_layer(
        &self,
        diff_id: &Digest,
        reference: &Reference,
        digest: &Digest,
        size: u64,
        media_type: &str,
    ) -> Result<()> {
        let place = Place {
            domain: reference.domain().to_owned(),
            path: reference.path().to_owned(),
            digest: digest.clone(),
            size,
            media_type: media_type.to_owned(),
        };
        let mut known = self.known_layer(diff_id)?;
        if known.places.last() == Some(&place) {
            return Ok(());
        }
        known.places.retain(|other| *other != place);
        known.places.push(place);
        let surplus = known.places.len().saturating_sub(PLACES_MAX);
        known.places.drain(..surplus);
        Ok(self.records.put(KNOWN_TABLE, diff_id.as_str(), &VERSION, &known, Durability::Crash)?)
    }

    /// The manifest that an image came with, or was pushed with.
    pub fn known_manifest(&self, image: &Digest) -> Result<Option<KnownManifest>> {
        Ok(self.records.get(MANIFEST_TABLE, image.as_str())?)
    }

    /// Notes the manifest that an image came with.
    pub fn note_manifest(&self, image: &Digest, manifest: &KnownManifest) -> Result<()> {
        Ok(self.records.put(MANIFEST_TABLE, image.as_str(), &VERSION, manifest, Durability::Crash)?)
    }

    /// Forgets what is known of images and layers that are no longer here.
    pub fn forget_strangers(&self) -> Result<()> {
        let (layers, _) = self.records.summaries::<u32>(KNOWN_TABLE)?;
        let (manifests, _) = self.records.summaries::<u32>(MANIFEST_TABLE)?;
        let index = self.snapshot();
        let here: std::collections::BTreeSet<&str> =
            index.layers.values().map(|layer| layer.diff_id.as_str()).collect();
        for (diff_id, _) in layers.iter().filter(|(diff_id, _)| !here.contains(diff_id.as_str())) {
            self.records.delete(KNOWN_TABLE, diff_id, Durability::Crash)?;
        }
        let is_here = |id: &str| Digest::parse(id).is_ok_and(|id| index.images.contains_key(&id));
        let (attested, _) = self.records.summaries::<u32>(crate::attest::ATTESTATION_TABLE)?;
        for (id, _) in attested.iter().filter(|(id, _)| !is_here(id)) {
            self.records.delete(crate::attest::ATTESTATION_TABLE, id, Durability::Crash)?;
        }
        for (id, _) in manifests.iter().filter(|(id, _)| !is_here(id)) {
            self.records.delete(MANIFEST_TABLE, id, Durability::Crash)?;
        }
        Ok(())
    }
}
