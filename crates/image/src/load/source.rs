//! What images an archive holds: Docker's `manifest.json`, or the `index.json` of an OCI image layout.

use berth_spec::{
    Digest, Platform,
    image::{DOCKER_INDEX, Descriptor, Index, Manifest, OCI_INDEX},
};
use serde::Deserialize;

use super::{familiar, spool::Archive};
use crate::{Error, Result, layer::Stored};

/// Deepest index in an index.
const INDEX_DEPTH_MAX: u32 = 4;

/// An image in an archive.
#[derive(Debug)]
pub struct Source {
    /// The bytes of its configuration.
    pub config: Vec<u8>,
    /// Familiar references.
    pub tags: Vec<String>,
    /// Lowest first.
    pub layers: Vec<Stored>,
}

/// An entry of `manifest.json` (Docker image specification 1.2, "Combined Image JSON + Filesystem Changeset Format").
#[derive(Debug, Deserialize)]
struct DockerImage {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags", default)]
    tags: Option<Vec<String>>,
    #[serde(rename = "Layers", default)]
    layers: Option<Vec<String>>,
}

/// The images of an archive.
pub fn find(archive: &Archive) -> Result<Vec<Source>> {
    let found = if let Some(manifest) = archive.document("manifest.json") {
        docker(archive, manifest)?
    } else if let Some(index) = archive.document("index.json") {
        let index: Index = parse("index.json", index)?;
        let mut found = Vec::new();
        for descriptor in &index.manifests {
            layout(archive, descriptor, &mut found, 0)?;
        }
        found
    } else {
        return Err(Error::archive(
            "neither manifest.json nor index.json is in it (a root file system goes in by import)",
        ));
    };
    if found.is_empty() { Err(Error::archive("it holds no image for this platform")) } else { Ok(found) }
}

fn docker(archive: &Archive, manifest: &[u8]) -> Result<Vec<Source>> {
    let images: Vec<DockerImage> = parse("manifest.json", manifest)?;
    let mut found = Vec::with_capacity(images.len());
    for image in images {
        let missing = |path: &str| Error::archive(format!("{path} is missing"));
        let config = archive.document(&image.config).ok_or_else(|| missing(&image.config))?.to_vec();
        let mut layers = Vec::new();
        for path in image.layers.iter().flatten() {
            layers.push(archive.layer(path).ok_or_else(|| missing(path))?.clone());
        }
        let tags = familiar(image.tags.iter().flatten().map(String::as_str));
        found.push(Source { config, tags, layers });
    }
    Ok(found)
}

/// Follows a descriptor of an OCI layout to the image for this platform.
fn layout(archive: &Archive, descriptor: &Descriptor, found: &mut Vec<Source>, depth: u32) -> Result<()> {
    if depth > INDEX_DEPTH_MAX {
        return Err(Error::archive("indexes are nested too deeply"));
    }
    let bytes = document(archive, &descriptor.digest)?;
    if [OCI_INDEX, DOCKER_INDEX].contains(&descriptor.media_type.as_str()) {
        let index: Index = parse(descriptor.digest.as_str(), bytes)?;
        let Some(fitting) = choose(&index.manifests) else { return Ok(()) };
        let mut fitting = fitting.clone();
        // The name stands at the outermost descriptor.
        fitting.annotations = fitting.annotations.or_else(|| descriptor.annotations.clone());
        return layout(archive, &fitting, found, depth + 1);
    }
    let manifest: Manifest = parse(descriptor.digest.as_str(), bytes)?;
    let config = document(archive, &manifest.config.digest)?.to_vec();
    let mut layers = Vec::new();
    for layer in &manifest.layers {
        let stored = archive.layer(&blob_path(&layer.digest));
        layers.push(stored.ok_or_else(|| Error::archive(format!("blob {} is missing", layer.digest)))?.clone());
    }
    found.push(Source { config, tags: names(descriptor), layers });
    Ok(())
}

/// The manifest for this machine: its own platform, else the only one there is.
fn choose(manifests: &[Descriptor]) -> Option<&Descriptor> {
    let host = Platform::host();
    let fits = |descriptor: &&Descriptor| {
        descriptor
            .platform
            .as_ref()
            .is_some_and(|platform| platform.os == host.os && platform.architecture == host.architecture)
    };
    manifests.iter().find(fits).or(if let [only] = manifests { Some(only) } else { None })
}

/// Names in the annotations: a full one by containerd's key, or one with tag by OCI's.
fn names(descriptor: &Descriptor) -> Vec<String> {
    let annotation = |key: &str| descriptor.annotations.as_ref().and_then(|all| all.get(key));
    let full = annotation("io.containerd.image.name");
    // OCI's key may hold no more than a tag, which names nothing.
    let partial = annotation("org.opencontainers.image.ref.name").filter(|name| name.contains([':', '/']));
    familiar(full.or(partial).into_iter().map(String::as_str))
}

fn document<'a>(archive: &'a Archive, digest: &Digest) -> Result<&'a [u8]> {
    let bytes = archive.document(&blob_path(digest));
    let bytes = bytes.ok_or_else(|| Error::archive(format!("blob {digest} is missing")))?;
    let found = berth_archive::hash::digest(bytes);
    if &found == digest { Ok(bytes) } else { Err(Error::archive(format!("the blob {digest} has the digest {found}"))) }
}

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn parse<'a, T: Deserialize<'a>>(name: &str, bytes: &'a [u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::archive(format!("{name}: {error}")))
}
