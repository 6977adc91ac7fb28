//! `save`: images as one archive that Docker's `load` and every reader of OCI image layouts understand.
//!
//! ```text
//! blobs/sha256/<hex>   layers (uncompressed, so that their digests are the diff ids), configurations, manifests
//! index.json           OCI: one manifest for each name        manifest.json   Docker's own list
//! oci-layout                                                  repositories    for Docker before 1.10
//! ```

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    sync::Arc,
};

use berth_archive::{
    compression,
    hash::Hashing,
    tar::{Entry, Kind, Writer},
};
use berth_spec::{
    Digest, Reference,
    image::{Descriptor, Index as OciIndex, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST},
};
use serde_json::{Value, json};

use crate::{
    Error, Images, Result,
    images::Shared,
    index::Index,
    record::ImageRecord,
    resolve::{find, is_id_of},
    stream::{ByteStream, written},
};

/// Longest configuration that is read.
pub const CONFIG_BYTES_MAX: u64 = 8 << 20;

/// An image and the names under which it is saved.
#[derive(Debug, Clone)]
struct Chosen {
    image: Arc<ImageRecord>,
    tags: Vec<String>,
}

impl Images {
    /// Streams an archive of the named images: a repository without tag means all its tags, an id no tag. A damaged
    /// layer ends the stream with an error.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Damaged`] before the stream begins.
    pub async fn save(&self, names: &[String]) -> Result<ByteStream> {
        let index = self.shared.snapshot();
        let chosen = choose(&index, names)?;
        for layer in chosen.iter().flat_map(|chosen| &chosen.image.chain_ids) {
            if !index.layers.contains_key(layer) {
                let id = chosen[0].image.id.to_string();
                return Err(Error::Damaged { id, reason: format!("its layer {layer} is missing") });
            }
        }
        for Chosen { image, .. } in &chosen {
            self.shared.publish("save", image, image.id.as_str());
        }
        let shared = Arc::clone(&self.shared);
        // Layers must not be collected while they are read.
        Ok(written(move |output| {
            let build = crate::collect::Build::begin(&shared);
            let outcome = write(&shared, &index, &chosen, output);
            drop(build);
            outcome
        }))
    }
}

/// The images that `names` mean, each once, with all names under which it was asked for.
fn choose(index: &Index, names: &[String]) -> Result<Vec<Chosen>> {
    let mut chosen: Vec<Chosen> = Vec::new();
    let mut add = |image: Arc<ImageRecord>, tag: Option<String>| {
        let at = chosen.iter().position(|it| it.image.id == image.id).unwrap_or_else(|| {
            chosen.push(Chosen { image, tags: Vec::new() });
            chosen.len() - 1
        });
        if let Some(tag) = tag.filter(|tag| !chosen[at].tags.contains(tag)) {
            chosen[at].tags.push(tag);
        }
    };
    for name in names {
        let bare = Reference::parse(name).ok().filter(|it| it.tag().is_none() && it.digest().is_none());
        let mut of_repository = Vec::new();
        if let Some(bare) = &bare {
            let prefix = format!("{}:", bare.familiar_name());
            let is_tag = |tag: &&String| tag.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/'));
            of_repository.extend(index.tags.keys().filter(is_tag).cloned());
        }
        for tag in &of_repository {
            add(find(index, tag)?, Some(tag.clone()));
        }
        if of_repository.is_empty() {
            let image = find(index, name)?;
            let reference = Reference::parse(name).ok().filter(|it| it.digest().is_none());
            let tag = reference.filter(|_| !is_id_of(name, &image.id)).map(|it| it.with_default_tag().familiar());
            add(image, tag);
        }
    }
    Ok(chosen)
}

/// What a blob of the archive is made from.
pub(crate) enum Blob {
    Layer(Digest),
    Bytes(Vec<u8>),
}

/// Blobs of an archive by their digests.
pub(crate) type Blobs = BTreeMap<Digest, Blob>;

/// Adds all blobs of an image; gives the descriptor of its manifest.
pub(crate) fn add_image(shared: &Shared, index: &Index, image: &ImageRecord, blobs: &mut Blobs) -> Result<Descriptor> {
    let config = shared.content.read_small(&image.id, CONFIG_BYTES_MAX)?;
    let layers = layers_of(index, image)?;
    let (descriptor, manifest) = manifest_of(image, &layers);
    blobs.insert(image.id.clone(), Blob::Bytes(config));
    blobs.insert(descriptor.digest.clone(), Blob::Bytes(manifest));
    for (chain, layer) in image.chain_ids.iter().zip(&layers) {
        blobs.insert(layer.digest.clone(), Blob::Layer(chain.clone()));
    }
    Ok(descriptor)
}

/// Writes an OCI layout.
pub(crate) fn write_layout(
    shared: &Shared,
    index: &Index,
    blobs: &Blobs,
    manifests: Vec<Descriptor>,
    output: &mut dyn Write,
) -> Result<()> {
    let oci = OciIndex { schema_version: 2, media_type: Some(OCI_INDEX.to_owned()), manifests, annotations: None };
    let mut archive = Writer::new(output);
    for directory in ["blobs/", "blobs/sha256/"] {
        archive.append(&Entry::new(directory, Kind::Directory), &mut io::empty())?;
    }
    for (digest, blob) in blobs {
        write_blob(shared, index, &mut archive, digest, blob)?;
    }
    write_file(&mut archive, "index.json", &bytes_of(&oci))?;
    write_file(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    archive.finish()?;
    Ok(())
}

fn write(shared: &Shared, index: &Index, chosen: &[Chosen], output: &mut dyn Write) -> Result<()> {
    let mut blobs = Blobs::new();
    let mut manifests = Vec::new();
    let mut docker = Vec::new();
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for Chosen { image, tags } in chosen {
        let descriptor = add_image(shared, index, image, &mut blobs)?;
        docker.push(docker_entry(image, tags, &layers_of(index, image)?));
        manifests.extend(named(&descriptor, tags));
        for reference in tags.iter().filter_map(|tag| Reference::parse(tag).ok()) {
            let tag = reference.tag().unwrap_or_default().to_owned();
            let top = image.chain_ids.last().map(|chain| chain.hex().to_owned()).unwrap_or_default();
            repositories.entry(reference.familiar_name()).or_default().insert(tag, top);
        }
    }
    let oci = OciIndex { schema_version: 2, media_type: Some(OCI_INDEX.to_owned()), manifests, annotations: None };
    let mut archive = Writer::new(output);
    for directory in ["blobs/", "blobs/sha256/"] {
        archive.append(&Entry::new(directory, Kind::Directory), &mut io::empty())?;
    }
    for (digest, blob) in &blobs {
        write_blob(shared, index, &mut archive, digest, blob)?;
    }
    write_file(&mut archive, "index.json", &bytes_of(&oci))?;
    write_file(&mut archive, "manifest.json", &bytes_of(&docker))?;
    write_file(&mut archive, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    if !repositories.is_empty() {
        write_file(&mut archive, "repositories", &bytes_of(&repositories))?;
    }
    archive.finish()?;
    Ok(())
}

pub(crate) fn layers_of(index: &Index, image: &ImageRecord) -> Result<Vec<Descriptor>> {
    let missing =
        |chain: &Digest| Error::Damaged { id: image.id.to_string(), reason: format!("its layer {chain} is missing") };
    let mut layers = Vec::new();
    for chain in &image.chain_ids {
        let layer = index.layers.get(chain).ok_or_else(|| missing(chain))?;
        layers.push(descriptor(OCI_LAYER, layer.diff_id.clone(), layer.archive_bytes));
    }
    Ok(layers)
}

/// A pointer to a blob without anything else.
pub fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor { media_type: media_type.to_owned(), digest, size, platform: None, annotations: None }
}

pub(crate) fn manifest_of(image: &ImageRecord, layers: &[Descriptor]) -> (Descriptor, Vec<u8>) {
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(OCI_MANIFEST.to_owned()),
        config: descriptor(OCI_CONFIG, image.id.clone(), image.config_bytes),
        layers: layers.to_vec(),
        annotations: None,
    };
    let bytes = bytes_of(&manifest);
    (descriptor(OCI_MANIFEST, berth_archive::hash::digest(&bytes), bytes.len() as u64), bytes)
}

/// The descriptor once for each name, or once without.
pub(crate) fn named(descriptor: &Descriptor, tags: &[String]) -> Vec<Descriptor> {
    if tags.is_empty() {
        return vec![descriptor.clone()];
    }
    let with_name = |tag: &String| {
        let reference = Reference::parse(tag).ok()?;
        let annotations = [
            ("io.containerd.image.name".to_owned(), reference.to_string()),
            ("org.opencontainers.image.ref.name".to_owned(), reference.tag().unwrap_or_default().to_owned()),
        ];
        Some(Descriptor { annotations: Some(annotations.into()), ..descriptor.clone() })
    };
    tags.iter().filter_map(with_name).collect()
}

/// An entry of `manifest.json`.
fn docker_entry(image: &ImageRecord, tags: &[String], layers: &[Descriptor]) -> Value {
    let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let sources: serde_json::Map<String, Value> =
        layers.iter().filter_map(|layer| Some((layer.digest.to_string(), serde_json::to_value(layer).ok()?))).collect();
    json!({
        "Config": path(&image.id),
        "RepoTags": if tags.is_empty() { Value::Null } else { json!(tags) },
        "Layers": layers.iter().map(|layer| path(&layer.digest)).collect::<Vec<_>>(),
        "LayerSources": sources,
    })
}

/// Serialised; these types have no map keys or values that JSON cannot hold.
pub(crate) fn bytes_of(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn write_file<W: Write>(archive: &mut Writer<W>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut entry = Entry::new(path, Kind::File);
    entry.size = bytes.len() as u64;
    Ok(archive.append(&entry, &mut &bytes[..])?)
}

fn write_blob<W: Write>(
    shared: &Shared,
    index: &Index,
    archive: &mut Writer<W>,
    digest: &Digest,
    blob: &Blob,
) -> Result<()> {
    let path = format!("blobs/sha256/{}", digest.hex());
    let chain = match blob {
        Blob::Bytes(bytes) => return write_file(archive, &path, bytes),
        Blob::Layer(chain) => chain,
    };
    let damaged = |reason: String| Error::Damaged { id: digest.to_string(), reason };
    let layer = index.layers.get(chain).ok_or_else(|| damaged("its record is missing".to_owned()))?;
    let mut entry = Entry::new(path, Kind::File);
    entry.size = layer.archive_bytes;
    let mut contents = Hashing::new(compression::decoder(shared.content.open_blob(&layer.blob)?)?);
    archive.append(&entry, &mut contents)?;
    // What lies behind the stated length must be nothing.
    let more = contents.read(&mut [0; 1]).map_err(crate::layer::read_failed)?;
    let (_, found, _) = contents.finish();
    if more > 0 || &found != digest {
        return Err(damaged(format!("its stored layer has the digest {found}")));
    }
    Ok(())
}
