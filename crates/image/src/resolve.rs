//! From a name or the beginning of an id to the image.

use std::sync::Arc;

use berth_spec::{Digest, Reference, image::ImageConfig};

use crate::{Error, Images, Result, images::Shared, index::Index, record::ImageRecord};

/// What a container is made from.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of the configuration.
    pub id: Digest,
    /// The configuration.
    pub config: ImageConfig,
    /// Chain id of the topmost layer; `None` for an image without layers.
    pub top: Option<String>,
    /// Familiar references.
    pub tags: Vec<String>,
    /// The image it was committed on.
    pub parent: Option<Digest>,
}

impl Images {
    /// The image that `name` means: a reference (tag `latest` when it has none), a full id, or the beginning of one.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Ambiguous`], [`Error::Reference`].
    pub async fn resolve(&self, name: &str) -> Result<Image> {
        self.shared.view(|index| {
            let record = find(index, name)?;
            Ok(Image {
                id: record.id.clone(),
                config: record.config.clone(),
                top: record.chain_ids.last().map(Digest::to_string),
                tags: index.tags_of(&record.id).cloned().collect(),
                parent: record.parent.clone(),
            })
        })
    }
}

impl Shared {
    /// As [`find`].
    pub fn find(&self, name: &str) -> Result<Arc<ImageRecord>> {
        self.view(|index| find(index, name))
    }
}

/// The image that `name` means.
pub fn find(index: &Index, name: &str) -> Result<Arc<ImageRecord>> {
    if let Ok(id) = Digest::parse(name).or_else(|_| Digest::parse(&format!("sha256:{name}"))) {
        return index.images.get(&id).cloned().ok_or_else(|| Error::Missing(name.to_owned()));
    }
    let reference = Reference::parse(name).map(Reference::with_default_tag);
    if let Some(image) = reference.as_ref().ok().and_then(|reference| index.named(reference)) {
        return Ok(Arc::clone(image));
    }
    if let Some(image) = by_prefix(index, name)? {
        return Ok(image);
    }
    Err(Error::Missing(reference?.familiar()))
}

/// Whether `name` means the image by its id rather than by a name.
pub fn is_id_of(name: &str, id: &Digest) -> bool {
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    berth_kit::id::is_prefix(hex) && id.hex().starts_with(hex)
}

fn by_prefix(index: &Index, name: &str) -> Result<Option<Arc<ImageRecord>>> {
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    if !berth_kit::id::is_prefix(hex) {
        return Ok(None);
    }
    let mut fitting = index.images.values().filter(|image| image.id.hex().starts_with(hex));
    match (fitting.next(), fitting.next()) {
        (Some(_), Some(_)) => Err(Error::Ambiguous(name.to_owned())),
        (only, _) => Ok(only.cloned()),
    }
}
