//! The cache of a build for others.

use std::{collections::BTreeMap, io::Write, path::Path, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_image::PushRequest;
use berth_kit::time::Timestamp;
use berth_spec::{
    Digest, Reference,
    image::{Descriptor, Index, Manifest, OCI_INDEX, OCI_MANIFEST},
};

use super::{
    Walked,
    format::{self, CONFIG, INLINE},
};
use crate::{Error, Request, Result, builder::Shared, context::blocking};

/// Where a cache is written to.
pub(crate) enum Destination<'d> {
    /// A registry, under this name.
    Registry(&'d str),
    /// An OCI layout in a folder.
    Folder(&'d Path),
}

/// What an image's configuration holds about the steps that made it: field and value. `layers` are its layers.
pub(crate) fn inline(steps: &[Walked], layers: &[Digest], epoch: Option<Timestamp>) -> (String, serde_json::Value) {
    let number = |step: &Walked| {
        let own = step.layer.as_ref()?;
        layers.iter().position(|layer| *layer == own.diff_id)
    };
    let records = format::records(steps, |step| epoch.unwrap_or(step.created), number);
    let bytes = serde_json::to_vec(&records).unwrap_or_default();
    (INLINE.to_owned(), STANDARD.encode(bytes).into())
}

impl Destination<'_> {
    /// Writes what these steps made.
    pub async fn write(&self, shared: &Arc<Shared>, request: &Request, steps: &[Walked]) -> Result<()> {
        let mut layers: BTreeMap<Digest, Digest> = BTreeMap::new();
        for layer in steps.iter().filter_map(|step| step.layer.as_ref()) {
            layers.entry(layer.diff_id.clone()).or_insert_with(|| layer.chain_id.clone());
        }
        let (diff_ids, chain_ids): (Vec<Digest>, Vec<Digest>) = layers.into_iter().unzip();
        match self {
            Self::Registry(name) => {
                let reference = Reference::parse(name).map_err(|error| Error::Invalid(error.to_string()))?;
                let reference = reference.with_default_tag();
                let wanted = PushRequest {
                    credentials: request.client.credentials(&reference).await,
                    reference,
                    platform: None,
                    policy: request.policy.clone(),
                    uploads: 0,
                };
                let blobs = shared.images.push_layers(&chain_ids, &wanted).await?;
                let written = documents(steps, &diff_ids, blobs);
                let config = (&written.config.0, written.config.1);
                shared.images.push_document(&wanted, config, (OCI_MANIFEST, written.manifest.1)).await?;
                Ok(())
            }
            Self::Folder(root) => {
                let mut blobs = Vec::new();
                for chain_id in &chain_ids {
                    blobs.push(shared.images.gzip_layer(chain_id).await?);
                }
                let written = documents(steps, &diff_ids, blobs.clone());
                let (root, content) = (root.to_path_buf(), shared.images.content().clone());
                blocking(move || layout(&root, &content, &blobs, &written)).await
            }
        }
    }
}

struct Documents {
    config: (Descriptor, Vec<u8>),
    manifest: (Descriptor, Vec<u8>),
}

fn document(media_type: &str, value: &impl serde::Serialize) -> (Descriptor, Vec<u8>) {
    // These types have no map keys or values that JSON cannot hold.
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let descriptor = Descriptor {
        media_type: media_type.to_owned(),
        digest: berth_archive::hash::digest(&bytes),
        size: bytes.len() as u64,
        platform: None,
        annotations: None,
    };
    (descriptor, bytes)
}

fn documents(steps: &[Walked], diff_ids: &[Digest], blobs: Vec<Descriptor>) -> Documents {
    let oci = |blob: Descriptor| {
        let media_type = match blob.media_type.rsplit(['.', '+']).next() {
            Some("gzip") => format!("{}+gzip", berth_spec::image::OCI_LAYER),
            Some("zstd") => format!("{}+zstd", berth_spec::image::OCI_LAYER),
            _ => berth_spec::image::OCI_LAYER.to_owned(),
        };
        Descriptor { media_type, ..blob }
    };
    let layers: Vec<Descriptor> = blobs.into_iter().map(oci).collect();
    let pairs: Vec<_> = diff_ids.iter().cloned().zip(layers.iter().cloned()).collect();
    let config = document(CONFIG, &format::config(steps, &pairs));
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config: config.0.clone(),
        layers,
        annotations: None,
    };
    let manifest = document(OCI_MANIFEST, &manifest);
    Documents { config, manifest }
}

/// Writes an OCI layout (OCI image specification, image-layout.md).
fn layout(root: &Path, content: &berth_content::Store, blobs: &[Descriptor], documents: &Documents) -> Result<()> {
    let folder = root.join("blobs/sha256");
    std::fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
    for blob in blobs {
        let path = folder.join(blob.digest.hex());
        let mut file = std::fs::File::create(&path).map_err(Error::file("create", &path))?;
        std::io::copy(&mut content.open_blob(&blob.digest)?, &mut file).map_err(Error::file("write", &path))?;
    }
    for (descriptor, bytes) in [&documents.config, &documents.manifest] {
        let path = folder.join(descriptor.digest.hex());
        std::fs::write(&path, bytes).map_err(Error::file("write", &path))?;
    }
    let annotations = BTreeMap::from([("org.opencontainers.image.ref.name".to_owned(), "latest".to_owned())]);
    let manifests = vec![Descriptor { annotations: Some(annotations), ..documents.manifest.0.clone() }];
    let index = Index { schema_version: 2, media_type: Some(OCI_INDEX.to_owned()), manifests, annotations: None };
    let write = |name: &str, bytes: &[u8]| {
        let path = root.join(name);
        let mut file = std::fs::File::create(&path).map_err(Error::file("create", &path))?;
        file.write_all(bytes).map_err(Error::file("write", &path))
    };
    write("index.json", &document(OCI_INDEX, &index).1)?;
    write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)
}
