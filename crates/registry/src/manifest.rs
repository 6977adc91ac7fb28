//! What a registry needs to know of a manifest: its kind, what it refers to, its subject (OCI image specification 1.1,
//! manifest.md and image-index.md; Docker image manifest version 2, schema 2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use berth_spec::image::{DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};

use crate::digest::Digest;

/// Most bytes of a manifest (the specification asks for at least this many).
pub const BYTES_MAX: usize = 4 << 20;
/// Most descriptors in a manifest.
pub const DESCRIPTORS_MAX: usize = 10_000;
/// Most bytes of a media type.
const MEDIA_TYPE_BYTES_MAX: usize = 255;
/// The artifact manifest of the release candidates of OCI 1.1: still found on disk and in clients.
pub const OCI_ARTIFACT: &str = "application/vnd.oci.artifact.manifest.v1+json";
/// Layers that are fetched from elsewhere and need not be here.
const FOREIGN_LAYERS: [&str; 3] = [
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];

/// A manifest that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its own media type.
    pub media_type: String,
    /// Blobs that must be in the repository.
    pub blobs: Vec<(Digest, u64)>,
    /// Manifests that must be in the repository.
    pub manifests: Vec<Digest>,
    /// The manifest that it is about.
    pub subject: Option<Digest>,
    /// What it is, for the list of referrers.
    pub artifact_type: Option<String>,
    /// For the list of referrers.
    pub annotations: BTreeMap<String, String>,
}

/// Why bytes are no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidManifest {
    /// No JSON object of the right fields.
    #[error("it cannot be read: {0}")]
    Json(String),
    /// The media type is not one that is stored here.
    #[error("media type {0:?} is not supported")]
    MediaType(String),
    /// The content says otherwise than the header.
    #[error("its mediaType {inside:?} is not its Content-Type {outside:?}")]
    Contradiction {
        /// In the content.
        inside: String,
        /// In the header.
        outside: String,
    },
    /// A digest that is none.
    #[error("a descriptor's digest is invalid")]
    Digest,
    /// An image without config, or a document of both kinds.
    #[error("{0}")]
    Shape(&'static str),
    /// Too many descriptors.
    #[error("it has more than {DESCRIPTORS_MAX} descriptors")]
    TooMany,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Option<Vec<Descriptor>>,
    #[serde(default)]
    blobs: Option<Vec<Descriptor>>,
    #[serde(default)]
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: i64,
    #[serde(default)]
    urls: Option<Vec<String>>,
}

/// A row of the list of referrers, as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// Of the referring manifest.
    pub media_type: String,
    /// In bytes.
    pub size: u64,
    /// Of the referring manifest.
    pub digest: String,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Copied from it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    fn pair(&self) -> Result<(Digest, u64), InvalidManifest> {
        let size = u64::try_from(self.size).map_err(|_| InvalidManifest::Shape("a descriptor's size is negative"))?;
        Ok((Digest::parse(&self.digest).map_err(|_| InvalidManifest::Digest)?, size))
    }

    fn is_foreign(&self) -> bool {
        self.urls.as_ref().is_some_and(|urls| !urls.is_empty())
            || FOREIGN_LAYERS.iter().any(|kind| self.media_type.starts_with(kind))
    }
}

/// Reads a manifest that came with the header `Content-Type`, if any.
///
/// # Errors
/// [`InvalidManifest`].
pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Manifest, InvalidManifest> {
    let document: Document = serde_json::from_slice(bytes).map_err(|error| InvalidManifest::Json(error.to_string()))?;
    let media_type = media_type(&document, content_type)?;
    if document.schema_version != Some(2) && media_type != OCI_ARTIFACT {
        return Err(InvalidManifest::Shape("its schemaVersion is not 2"));
    }
    let count = |list: &Option<Vec<Descriptor>>| list.as_ref().map_or(0, Vec::len);
    if count(&document.layers) + count(&document.blobs) + count(&document.manifests) > DESCRIPTORS_MAX {
        return Err(InvalidManifest::TooMany);
    }
    let is_index = media_type == OCI_INDEX || media_type == DOCKER_INDEX;
    let (blobs, manifests) = if is_index { index(&document)? } else { image(&document, &media_type)? };
    let subject = document.subject.as_ref().map(Descriptor::pair).transpose()?.map(|(digest, _)| digest);
    let config_type = document.config.map(|config| config.media_type);
    let stated = document.artifact_type.filter(|kind| !kind.is_empty());
    let artifact_type = if is_index { stated } else { stated.or(config_type) };
    let annotations = document.annotations.unwrap_or_default();
    Ok(Manifest { media_type, blobs, manifests, subject, artifact_type, annotations })
}

fn media_type(document: &Document, content_type: Option<&str>) -> Result<String, InvalidManifest> {
    let outside = content_type.and_then(|text| text.split(';').next()).map(str::trim).filter(|text| !text.is_empty());
    let inside = document.media_type.as_deref().filter(|text| !text.is_empty());
    // What clients send that know no better.
    let outside = outside.filter(|text| !["application/json", "application/octet-stream"].contains(text));
    let media_type = match (inside, outside) {
        (Some(inside), Some(outside)) if inside != outside => {
            return Err(InvalidManifest::Contradiction { inside: inside.to_owned(), outside: outside.to_owned() });
        }
        (Some(text), _) | (None, Some(text)) => text.to_owned(),
        (None, None) if document.manifests.is_some() => OCI_INDEX.to_owned(),
        (None, None) => OCI_MANIFEST.to_owned(),
    };
    let is_known =
        [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_INDEX, OCI_ARTIFACT].contains(&media_type.as_str());
    if is_known { Ok(media_type) } else { Err(InvalidManifest::MediaType(shorten(media_type))) }
}

fn shorten(mut text: String) -> String {
    let mut end = text.len().min(MEDIA_TYPE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

type References = (Vec<(Digest, u64)>, Vec<Digest>);

fn index(document: &Document) -> Result<References, InvalidManifest> {
    if document.config.is_some() || document.layers.is_some() {
        return Err(InvalidManifest::Shape("it is an index with the fields of an image"));
    }
    let list = document.manifests.as_ref().ok_or(InvalidManifest::Shape("it is an index without manifests"))?;
    let children: Result<Vec<_>, _> = list.iter().map(|child| child.pair().map(|(digest, _)| digest)).collect();
    Ok((Vec::new(), children?))
}

fn image(document: &Document, media_type: &str) -> Result<References, InvalidManifest> {
    if document.manifests.is_some() {
        return Err(InvalidManifest::Shape("it is an image with the fields of an index"));
    }
    let config = match (&document.config, media_type) {
        (None, OCI_ARTIFACT) => None,
        (None, _) => return Err(InvalidManifest::Shape("it is an image without config")),
        (Some(config), _) => Some(config),
    };
    let listed = document.layers.iter().chain(&document.blobs).flatten();
    let needed = config.into_iter().chain(listed.filter(|layer| !layer.is_foreign()));
    Ok((needed.map(Descriptor::pair).collect::<Result<_, _>>()?, Vec::new()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn descriptor(kind: &str) -> String {
        format!(r#"{{"mediaType":"{kind}","digest":"sha256:{HEX}","size":1}}"#)
    }

    #[test]
    fn an_image_names_config_and_layers_but_no_foreign_ones() {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{},"layers":[{},{}],"subject":{},"annotations":{{"a":"b"}}}}"#,
            descriptor("application/vnd.example"),
            descriptor("application/vnd.oci.image.layer.v1.tar"),
            descriptor("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
            descriptor(OCI_MANIFEST),
        );
        let manifest =
            parse(text.as_bytes(), Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8")).unwrap();
        assert_eq!(manifest.blobs.len(), 2);
        assert_eq!(manifest.artifact_type.as_deref(), Some("application/vnd.example"));
        assert!(manifest.subject.is_some());
        assert_eq!(manifest.annotations["a"], "b");
    }

    #[test]
    fn an_index_names_manifests_and_has_no_type_of_its_own() {
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor(OCI_MANIFEST));
        let manifest = parse(text.as_bytes(), None).unwrap();
        assert_eq!((manifest.manifests.len(), manifest.media_type.as_str()), (1, OCI_INDEX));
        assert_eq!(manifest.artifact_type, None);
    }

    #[test]
    fn hostile_manifests_are_refused() {
        let bad_digest = r#"{"schemaVersion":2,"config":{"digest":"../../x","size":1},"layers":[]}"#;
        let negative = format!(r#"{{"schemaVersion":2,"config":{{"digest":"sha256:{HEX}","size":-1}}}}"#);
        let both = format!(r#"{{"schemaVersion":2,"config":{0},"manifests":[{0}]}}"#, descriptor("x"));
        let many =
            format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, vec![descriptor("x"); DESCRIPTORS_MAX + 1].join(","));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for text in [
            "",
            "{}",
            "[]",
            "null",
            "{",
            "\u{0}",
            r#"{"schemaVersion":1}"#,
            r#"{"schemaVersion":2}"#,
            r#"{"schemaVersion":2,"layers":[]}"#,
            r#"{"schemaVersion":2,"mediaType":"text/html"}"#,
            bad_digest,
            &negative,
            &both,
            &many,
            &deep,
        ] {
            assert!(parse(text.as_bytes(), None).is_err(), "{}", &text[..text.len().min(80)]);
        }
        let honest = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{}}}"#, descriptor("x"));
        let lie = parse(honest.as_bytes(), Some(OCI_INDEX));
        assert!(matches!(lie, Err(InvalidManifest::Contradiction { .. })));
    }
}
