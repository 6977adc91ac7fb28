//! Caches of others: read before the build, their layers brought when a step fits.

use std::{collections::BTreeMap, io::Read, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use berth_image::{LayerPlace, OwnLayer};
use berth_remote::Repository;
use berth_spec::{
    Digest, Reference,
    image::{Descriptor, ImageConfig, Index, Manifest},
};

use super::{
    CacheFrom, Imported, Place,
    format::{self, CONFIG, Config, DOCUMENT_MAX, INLINE},
};
use crate::{Error, Folder, Request, Result, builder::Shared, context::blocking, tree};

/// Manifests of one index that are looked into.
const MANIFESTS_MAX: usize = 32;

/// What the caches of a request know.
#[derive(Default)]
pub(crate) struct Imports {
    steps: BTreeMap<String, Imported>,
}

impl Imports {
    /// The step of a key.
    pub fn get(&self, key: &str) -> Option<&Imported> {
        self.steps.get(key)
    }

    /// Adds what one cache knows; says how many steps that are.
    pub async fn add(&mut self, shared: &Arc<Shared>, request: &Request, from: &CacheFrom) -> Result<usize> {
        let before = self.steps.len();
        match from {
            CacheFrom::Folder(folder) => self.add_folder(folder).await?,
            CacheFrom::Registry(name) => {
                // What is here is what Docker's `--cache-from` means; nobody else is asked then.
                match shared.images.resolve(name).await {
                    Ok(image) => {
                        let blobs = local_blobs(shared, &image.id)?;
                        self.add_inline(&image.config, &blobs, &Place::Layer(LayerPlace::Here), name)?;
                    }
                    Err(_) => self.add_registry(shared, request, name).await?,
                }
            }
        }
        Ok(self.steps.len() - before)
    }

    async fn add_registry(&mut self, shared: &Arc<Shared>, request: &Request, name: &str) -> Result<()> {
        let wrong = |reason: String| Error::Remote { act: "read the cache at", what: name.to_owned(), reason };
        let reference = Reference::parse(name).map_err(|error| wrong(error.to_string()))?.with_default_tag();
        let credentials = request.client.credentials(&reference).await;
        let opened = shared.images.remote().repository(&reference, &request.policy, credentials);
        let repository = Arc::new(opened.map_err(|error| wrong(error.to_string()))?);
        let target = reference.digest().map_or(reference.tag().unwrap_or("latest"), Digest::as_str);
        let document = repository.manifest(target).await.map_err(|error| wrong(error.to_string()))?;
        let reader = Registry { shared, repository: &repository };
        let place = Place::Layer(LayerPlace::Registry(Arc::clone(&repository)));
        if let Ok(manifest) = serde_json::from_slice::<Manifest>(&document.bytes) {
            return self.add_manifest(&reader, &manifest, &place, name).await;
        }
        let index: Index = serde_json::from_slice(&document.bytes).map_err(|error| wrong(error.to_string()))?;
        if let Some(config) = index.manifests.iter().find(|one| one.media_type == CONFIG) {
            let config = reader.blob(config).await?;
            return self.add_config(&config, &index.manifests, &place, name);
        }
        for one in index.manifests.iter().take(MANIFESTS_MAX) {
            let inside = repository.manifest(one.digest.as_str()).await.map_err(|error| wrong(error.to_string()))?;
            if let Ok(manifest) = serde_json::from_slice::<Manifest>(&inside.bytes) {
                self.add_manifest(&reader, &manifest, &place, name).await?;
            }
        }
        Ok(())
    }

    async fn add_manifest(
        &mut self,
        reader: &Registry<'_>,
        manifest: &Manifest,
        place: &Place,
        name: &str,
    ) -> Result<()> {
        if manifest.config.media_type == CONFIG {
            let config = reader.blob(&manifest.config).await?;
            return self.add_config(&config, &manifest.layers, place, name);
        }
        if !manifest.config.media_type.contains("image") {
            return Ok(());
        }
        let bytes = reader.blob(&manifest.config).await?;
        match serde_json::from_slice::<ImageConfig>(&bytes) {
            Ok(config) => self.add_inline(&config, &manifest.layers, place, name),
            // The configuration of statements is none of an image.
            Err(_) => Ok(()),
        }
    }

    async fn add_folder(&mut self, folder: &Folder) -> Result<()> {
        let own = folder.clone();
        let (manifest, config) = blocking(move || {
            let index: Index = parse("index.json", &read_in(&own, "index.json")?)?;
            let first = index.manifests.first().ok_or_else(|| Error::Invalid("the cache is empty".to_owned()))?;
            let manifest: Manifest = parse("the cache's manifest", &read_blob(&own, &first.digest)?)?;
            let config = read_blob(&own, &manifest.config.digest)?;
            Ok((manifest, config))
        })
        .await?;
        if manifest.config.media_type != CONFIG {
            return Err(Error::Invalid("the folder holds no build cache".to_owned()));
        }
        self.add_config(&config, &manifest.layers, &Place::Folder(folder.clone()), "the folder")
    }

    /// Steps of a document whose blobs these are.
    fn add_config(&mut self, bytes: &[u8], blobs: &[Descriptor], place: &Place, from: &str) -> Result<()> {
        let config = format::read(bytes).map_err(|reason| Error::Invalid(format!("the cache at {from}: {reason}")))?;
        let layers: Vec<_> = config
            .layers
            .iter()
            .map(|layer| {
                let blob = blobs.iter().find(|blob| blob.digest == layer.blob)?;
                let diff_id = layer.annotations.as_ref().and_then(|about| about.diff_id.clone())?;
                Some((blob.clone(), diff_id))
            })
            .collect();
        self.take(&config, &layers, place, from);
        Ok(())
    }

    /// Steps that an image's configuration holds.
    fn add_inline(&mut self, config: &ImageConfig, blobs: &[Descriptor], place: &Place, from: &str) -> Result<()> {
        let Some(text) = config.rest.get(INLINE).and_then(serde_json::Value::as_str) else { return Ok(()) };
        let wrong = |reason: String| Error::Invalid(format!("the cache in {from}: {reason}"));
        let bytes = STANDARD.decode(text).map_err(|error| wrong(error.to_string()))?;
        let records = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if blobs.len() != config.rootfs.diff_ids.len() {
            return Err(wrong("its layers are not those of its configuration".to_owned()));
        }
        let layers: Vec<_> = blobs
            .iter()
            .zip(&config.rootfs.diff_ids)
            .map(|(blob, diff_id)| Some((blob.clone(), diff_id.clone())))
            .collect();
        self.take(&Config { layers: Vec::new(), records }, &layers, place, from);
        Ok(())
    }

    fn take(&mut self, config: &Config, layers: &[Option<(Descriptor, Digest)>], place: &Place, from: &str) {
        for record in &config.records {
            let (layer, created) = match (record.layers.last(), record.unchanged) {
                (Some(outcome), _) => match layers.get(outcome.layer).cloned().flatten() {
                    Some(layer) => (Some(layer), outcome.created_at),
                    None => continue,
                },
                (None, Some(created)) => (None, created),
                (None, None) => continue,
            };
            let step = Imported { layer, created, place: place.clone(), from: from.to_owned() };
            self.steps.entry(record.digest.hex().to_owned()).or_insert(step);
        }
    }
}

impl Imported {
    /// Makes the step's layer on top of others.
    pub async fn bring(&self, shared: &Arc<Shared>, below: Option<&Digest>) -> Result<Option<OwnLayer>> {
        let Some((blob, diff_id)) = &self.layer else { return Ok(None) };
        let place = match &self.place {
            Place::Layer(place) => place.clone(),
            Place::Folder(folder) => {
                let (folder, digest, content) = (folder.clone(), blob.digest.clone(), shared.images.content().clone());
                blocking(move || {
                    if content.contains(&digest) {
                        return Ok(());
                    }
                    let file = open_blob(&folder, &digest)?;
                    let mut writer = content.writer()?;
                    std::io::copy(&mut { file }, &mut writer).map_err(Error::file("read", digest.as_str()))?;
                    writer.commit(Some(&digest))?;
                    Ok(())
                })
                .await?;
                LayerPlace::Here
            }
        };
        let layer = shared.images.bring_layer(&place, blob, diff_id, below).await?;
        Ok(Some(layer))
    }

    /// Why a step needed no making.
    pub fn reason(&self) -> String {
        let made = berth_kit::time::format_nano(self.created);
        format!("all inputs are those of {made} in the cache of {}", self.from)
    }
}

/// The blobs of an image that is here, lowest first.
fn local_blobs(shared: &Shared, id: &Digest) -> Result<Vec<Descriptor>> {
    let chain = shared.images.chain_of(id)?;
    let blob = |chain: &Digest| {
        let layer = shared.images.layer(chain).ok_or_else(|| Error::Missing(chain.to_string()))?;
        Ok(Descriptor {
            media_type: berth_spec::image::OCI_LAYER.to_owned(),
            digest: layer.blob,
            size: layer.blob_bytes,
            platform: None,
            annotations: None,
        })
    };
    chain.iter().map(blob).collect()
}

struct Registry<'r> {
    shared: &'r Arc<Shared>,
    repository: &'r Arc<Repository>,
}

impl Registry<'_> {
    async fn blob(&self, blob: &Descriptor) -> Result<Vec<u8>> {
        let failed = |error: berth_remote::Error| Error::Image(error.into());
        if blob.size > DOCUMENT_MAX {
            return Err(Error::Invalid(format!("the document {} of a cache is too large", blob.digest)));
        }
        let content = self.shared.images.content().clone();
        self.repository.fetch(blob, &content).await.map_err(failed)?;
        let digest = blob.digest.clone();
        blocking(move || Ok(content.read_small(&digest, DOCUMENT_MAX)?)).await
    }
}

fn parse<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|error| Error::Invalid(format!("{what}: {error}")))
}

fn read_in(folder: &Folder, name: &str) -> Result<Vec<u8>> {
    let tree = tree::Tree::open(&folder.path, None)?;
    let file = tree::open_file(tree.root(), name).map_err(Error::call("open", name))?;
    let mut bytes = Vec::new();
    file.take(DOCUMENT_MAX).read_to_end(&mut bytes).map_err(Error::file("read", name))?;
    Ok(bytes)
}

fn open_blob(folder: &Folder, digest: &Digest) -> Result<std::fs::File> {
    let tree = tree::Tree::open(&folder.path, None)?;
    let name = format!("blobs/sha256/{}", digest.hex());
    tree::open_file(tree.root(), &name).map_err(Error::call("open", &name))
}

/// A small blob of a layout; it is what its digest says.
fn read_blob(folder: &Folder, digest: &Digest) -> Result<Vec<u8>> {
    let bytes = read_in(folder, &format!("blobs/sha256/{}", digest.hex()))?;
    match berth_archive::hash::digest(&bytes) == *digest {
        true => Ok(bytes),
        false => Err(Error::Invalid(format!("the document {digest} of the cache is damaged"))),
    }
}
