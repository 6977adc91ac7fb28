//! `load`: images from an archive, in Docker's own form or as OCI image layout.

mod source;
mod spool;

use std::collections::HashMap;

use berth_record::Durability;
use berth_spec::{Digest, Platform, Reference, image::ImageConfig, progress::Progress};

use crate::{
    Error, Images, Result,
    collect::Build,
    images::Shared,
    layer,
    record::{ImageRecord, chain_ids},
    stream::{ByteStream, ProgressSender, StreamReader, tell},
};
use source::Source;

impl Images {
    /// Reads an archive as `save` writes it, compressed or not, and gives the ids of its images. `progress` gets the
    /// lines that Docker's client shows.
    ///
    /// # Errors
    /// [`Error::Archive`] for what is no image archive, [`Error::WrongLayer`], [`Error::Unpack`]; of an archive with a
    /// fault nothing is stored, except images before the one at fault.
    pub async fn load(&self, body: ByteStream, progress: Option<ProgressSender>) -> Result<Vec<Digest>> {
        self.load_platforms(body, Vec::new(), progress).await
    }

    /// As [`Self::load`], but only the archive's images for one of `platforms`; for none it is all of them.
    ///
    /// # Errors
    /// As for [`Self::load`]; [`Error::NoPlatform`] where no image of the archive is for one of them.
    pub async fn load_platforms(
        &self,
        body: ByteStream,
        platforms: Vec<Platform>,
        progress: Option<ProgressSender>,
    ) -> Result<Vec<Digest>> {
        let reader = StreamReader::new(body);
        self.blocking(move |shared| {
            let build = Build::begin(shared);
            let outcome = load(shared, reader, &platforms, progress.as_ref());
            build.tidy();
            outcome
        })
        .await
    }
}

fn load(
    shared: &Shared,
    reader: impl std::io::Read + Send,
    platforms: &[Platform],
    progress: Option<&ProgressSender>,
) -> Result<Vec<Digest>> {
    let archive = spool::spool(&shared.content, reader)?;
    let sources = source::find(&archive)?;
    let mut ids = Vec::with_capacity(sources.len());
    for source in sources {
        let made_for = Platform::of_config(&parse_config(&source.config)?);
        if !platforms.is_empty() && !platforms.iter().any(|wanted| wanted.covers(&made_for)) {
            continue;
        }
        ids.push(add(shared, source, progress)?);
    }
    if ids.is_empty() && !platforms.is_empty() {
        let wanted: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        return Err(Error::NoPlatform(wanted.join(", ")));
    }
    Ok(ids)
}

/// Makes the layers of one image, then its record, then its names.
fn add(shared: &Shared, source: Source, progress: Option<&ProgressSender>) -> Result<Digest> {
    let (id, config) = (berth_archive::hash::digest(&source.config), parse_config(&source.config)?);
    layer::make(shared, layer::plans(&config.rootfs.diff_ids, source.layers)?, progress)?;
    store_image(shared, &source.config, config, None)?;
    let image = shared.image(&id)?;
    for tag in &source.tags {
        if let Some(before) = shared.put_tag(tag, &id)? {
            let note =
                format!("The image {tag} already exists, renaming the old one with ID {before} to empty string\n");
            tell(progress, Progress::text(note));
        }
        shared.publish("tag", &image, tag);
        tell(progress, Progress::text(format!("Loaded image: {tag}\n")));
    }
    if source.tags.is_empty() {
        tell(progress, Progress::text(format!("Loaded image ID: {id}\n")));
    }
    shared.publish("load", &image, id.as_str());
    Ok(id)
}

/// Reads a configuration and refuses what cannot run here.
pub fn parse_config(bytes: &[u8]) -> Result<ImageConfig> {
    let config: ImageConfig =
        serde_json::from_slice(bytes).map_err(|error| Error::archive(format!("configuration: {error}")))?;
    if !config.os.is_empty() && config.os != "linux" {
        return Err(Error::ForeignSystem(config.os));
    }
    if config.rootfs.typ != "layers" {
        return Err(Error::archive(format!("configuration: root file system of type {:?}", config.rootfs.typ)));
    }
    Ok(config)
}

/// Keeps a configuration and its record; an image that is here already stays as it is.
pub fn store_image(shared: &Shared, bytes: &[u8], config: ImageConfig, parent: Option<Digest>) -> Result<Digest> {
    let (id, config_bytes) = shared.content.put(bytes)?;
    if shared.view(|index| index.images.contains_key(&id)) {
        return Ok(id);
    }
    let chain_ids = chain_ids(&config.rootfs.diff_ids);
    let record =
        ImageRecord { id: id.clone(), config, config_bytes, chain_ids, parent, digests: Vec::new(), last_used: None };
    shared.put_image(record, Durability::Power)?;
    Ok(id)
}

/// Names for an image, as familiar references; those that are none are left out.
fn familiar<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = HashMap::new();
    let mut tags = Vec::new();
    for name in names {
        let Ok(reference) = Reference::parse(name) else { continue };
        if reference.digest().is_some() {
            continue;
        }
        let tag = reference.with_default_tag().familiar();
        if seen.insert(tag.clone(), ()).is_none() {
            tags.push(tag);
        }
    }
    tags
}
