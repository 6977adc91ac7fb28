//! From a reference to the manifest of an image for a platform.

use berth_spec::{
    Digest, Platform, Reference,
    image::{DOCKER_INDEX, DOCKER_MANIFEST, Descriptor, Index, Manifest, OCI_INDEX, OCI_MANIFEST},
};
use bytes::Bytes;
use hyper::header;
use serde::{Deserialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use crate::{
    Error, Repository, Result,
    answer::{self, Unread},
    repository::Way,
    request::Wanted,
};

/// Most bytes of a manifest (OCI distribution specification: clients should take 4 MiB).
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// Deepest index in an index.
const INDEX_DEPTH_MAX: u32 = 3;
/// Docker's first type of manifest, which names no configuration.
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1";

/// What a reference means.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Digest of what the reference names: an index or a manifest.
    pub digest: Digest,
    /// The image's manifest.
    pub manifest: Manifest,
    /// The manifest as it came.
    pub document: Document,
}

/// A manifest or an index as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its own word, else the registry's.
    pub media_type: String,
    /// What the digest is of.
    pub bytes: Bytes,
    /// Computed.
    pub digest: Digest,
}

/// The fields that tell a manifest from an index when the media type does not.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
}

impl Repository {
    /// The manifest that `reference` means for `platform`.
    ///
    /// # Errors
    /// [`Error::ManifestUnknown`], [`Error::Denied`], [`Error::NoPlatform`], [`Error::ManifestTooLarge`],
    /// [`Error::Manifest`], and those of the connection.
    pub async fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<Resolved> {
        let mut last = Err(self.no_way());
        let by_tag = reference.digest().is_none();
        for way in self.ways(|abilities| abilities.pull && (abilities.resolve || !by_tag)) {
            last = self.resolve_by(way, reference, platform).await;
            if !self.goes_on(way, &last) {
                break;
            }
        }
        last
    }

    async fn resolve_by(&self, way: &Way, reference: &Reference, platform: &Platform) -> Result<Resolved> {
        let name = reference.familiar();
        let tag = reference.tag().unwrap_or(berth_spec::reference::DEFAULT_TAG);
        let target = reference.digest().map_or(tag, Digest::as_str);
        let mut document = self.document(way, &name, target, reference.digest()).await?;
        let digest = document.digest.clone();
        for _ in 0..INDEX_DEPTH_MAX {
            let outline: Outline = parse(&name, &document.bytes)?;
            let media_type = outline.media_type.unwrap_or_else(|| document.media_type.clone());
            let is_index = [OCI_INDEX, DOCKER_INDEX].contains(&media_type.as_str()) || outline.manifests.is_some();
            if !is_index {
                let manifest = image(&name, &media_type, &document.bytes)?;
                return Ok(Resolved { digest, manifest, document: Document { media_type, ..document } });
            }
            let index: Index = parse(&name, &document.bytes)?;
            let fitting = choose(&index.manifests, platform);
            let fitting = fitting.ok_or_else(|| Error::NoPlatform { platform: platform.to_string() })?;
            document = self.document(way, &name, fitting.digest.as_str(), Some(&fitting.digest)).await?;
        }
        Err(Error::Manifest { reference: name, reason: "its indexes are nested too deeply".to_owned() })
    }

    /// The manifest or index that `target`, a tag or a digest, names; as it is.
    ///
    /// # Errors
    /// As for [`Repository::resolve`].
    pub async fn manifest(&self, target: &str) -> Result<Document> {
        let digest = Digest::parse(target).ok();
        let joint = if digest.is_some() { '@' } else { ':' };
        let name = format!("{}{joint}{target}", self.familiar);
        let mut last = Err(self.no_way());
        for way in self.ways(|abilities| abilities.pull && (abilities.resolve || digest.is_some())) {
            last = self.document(way, &name, target, digest.as_ref()).await;
            if !self.goes_on(way, &last) {
                break;
            }
        }
        let document = last?;
        let outline: Outline = parse(&name, &document.bytes)?;
        let guess = || if outline.manifests.is_some() { OCI_INDEX } else { OCI_MANIFEST }.to_owned();
        let told = Some(document.media_type.clone()).filter(|told| told.contains("manifest") || told.contains("index"));
        Ok(Document { media_type: outline.media_type.or(told).unwrap_or_else(guess), ..document })
    }

    /// A manifest or index; when its digest is known, it is what it must be.
    async fn document(&self, way: &Way, name: &str, target: &str, digest: Option<&Digest>) -> Result<Document> {
        let accept = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST].join(", ");
        let wanted = Wanted::get(format!("manifests/{target}"), &accept, name);
        let response = self.call(way, &wanted).await?;
        let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|text| text.to_str().ok());
        let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
        let reference = name.to_owned();
        let bytes = match answer::whole(response, MANIFEST_BYTES_MAX).await {
            Ok(bytes) => bytes,
            Err(Unread::TooLarge) => return Err(Error::ManifestTooLarge { reference, limit: MANIFEST_BYTES_MAX }),
            Err(Unread::Broken(reason)) => {
                let url = format!("{}{}/{}/manifests/{target}", way.endpoint.origin, way.endpoint.root, self.path);
                let request = crate::error::request(&hyper::Method::GET, &url);
                return Err(Error::Unreachable { request, reason });
            }
        };
        let found = Digest::from_sha256(&Sha256::digest(&bytes).into());
        match digest.filter(|digest| **digest != found) {
            Some(digest) => {
                let registry = way.endpoint.origin.to_string();
                Err(Error::WrongBlob { digest: digest.clone(), registry, found })
            }
            None => Ok(Document { media_type, bytes, digest: found }),
        }
    }
}

fn image(name: &str, media_type: &str, bytes: &[u8]) -> Result<Manifest> {
    let unusable = |reason: String| Error::Manifest { reference: name.to_owned(), reason };
    if media_type.starts_with(SCHEMA_1) {
        return Err(unusable("Docker's image format version 1 is not supported any more; push it anew".to_owned()));
    }
    let manifest: Manifest = parse(name, bytes)?;
    let kind = &manifest.config.media_type;
    if !kind.contains("image") && !kind.is_empty() {
        return Err(unusable(format!("it is no image: its configuration is of type {}", kind.escape_debug())));
    }
    Ok(manifest)
}

/// The manifest for a platform: the same variant, else one without variant, else any of the architecture.
fn choose<'m>(manifests: &'m [Descriptor], platform: &Platform) -> Option<&'m Descriptor> {
    let rank = |descriptor: &Descriptor| {
        let found = descriptor.platform.as_ref()?;
        let fits = found.os == platform.os && found.architecture == platform.architecture;
        match (&platform.variant, &found.variant) {
            _ if !fits => None,
            (wanted, found) if wanted == found => Some(0),
            (_, None) => Some(1),
            (None, Some(_)) => Some(2),
            // arm64's only variant is often left unsaid.
            (Some(wanted), Some(_)) => (platform.architecture == "arm64" && wanted == "v8").then_some(3),
        }
    };
    let ranked = manifests.iter().filter_map(|descriptor| rank(descriptor).map(|rank| (rank, descriptor)));
    // The first of the best.
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, descriptor)| descriptor)
}

fn parse<T: DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Error::Manifest { reference: name.to_owned(), reason: error.to_string() })
}
