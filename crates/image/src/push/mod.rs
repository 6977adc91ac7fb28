//! `push`: an image to a registry.
//!
//! ```text
//! for each tag: the image's own manifest, or one made of its layers
//!   layers (five at a time): there already ─► mounted from a neighbour ─► sent, compressed for it where need be
//!   configuration ─► manifest under the tag ─► noted: digest of the image, places of its layers
//! ```

mod layer;
mod manifest;

use std::{collections::BTreeSet, sync::Arc};

use berth_record::Durability;
use berth_remote::{Credentials, Policy, Repository, Uploaded};
use berth_spec::{Digest, Platform, Reference, image::Descriptor, progress::Progress};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{Error, Images, Result, collect::Build, images::Shared, record::ImageRecord, stream::ProgressSender};

/// Layers sent at the same time: Docker's number.
pub const UPLOADS: usize = 5;
/// Repositories of the same registry that are asked for a layer.
const NEIGHBOURS_MAX: usize = 4;

/// What to push, and how its registry may be spoken to.
#[derive(Debug, Clone)]
pub struct PushRequest {
    /// The repository; with tag, or all its tags without.
    pub reference: Reference,
    /// The platform that the image must have; `None` for whichever it has.
    pub platform: Option<Platform>,
    /// For the registry.
    pub credentials: Option<Credentials>,
    /// The daemon's settings.
    pub policy: Policy,
    /// Layers sent at the same time, 0 for Docker's number.
    pub uploads: usize,
}

/// Where the manifest of an image is put.
pub(crate) enum Target {
    /// Under a tag.
    Tag(String),
    /// Under its digest alone: an index names it.
    Digest,
}

impl Target {
    pub fn tag(name: &str) -> Self {
        Self::Tag(name.to_owned())
    }

    fn name(&self) -> &str {
        match self {
            Self::Tag(name) => name,
            Self::Digest => "",
        }
    }
}

/// What was pushed under one tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The tag; empty for what has none.
    pub tag: String,
    /// Media type of the manifest.
    pub media_type: String,
    /// Digest of the manifest.
    pub digest: Digest,
    /// Length of the manifest in bytes.
    pub size: u64,
}

impl Images {
    /// Sends an image, or all images with a tag in the repository, to its registry. `progress` gets Docker's lines;
    /// when its receiver goes away, the push ends.
    ///
    /// # Errors
    /// [`Error::Remote`], [`Error::NoSuchTag`], [`Error::NothingToPush`], [`Error::OtherPlatform`], [`Error::Damaged`].
    pub async fn push(&self, wanted: PushRequest, progress: Option<ProgressSender>) -> Result<Vec<Pushed>> {
        let Some(lines) = progress else { return self.push_whole(&wanted, None).await };
        tokio::select! {
            outcome = self.push_whole(&wanted, Some(lines.clone())) => outcome,
            () = lines.closed() => Err(Error::Interrupted(wanted.reference.familiar())),
        }
    }

    async fn push_whole(&self, wanted: &PushRequest, progress: Option<ProgressSender>) -> Result<Vec<Pushed>> {
        let reference = &wanted.reference;
        let name = format!("{}/{}", reference.domain(), reference.path());
        say(progress.as_ref(), Progress::status(format!("The push refers to repository [{name}]"))).await;
        let images = self.chosen(wanted)?;
        // Layers must not be collected while they are read; what was compressed for the push goes after it.
        let build = Build::begin(&self.shared);
        let mut pushed = Vec::new();
        for (tag, image) in images {
            match self.push_one(wanted, &Target::tag(&tag), &image, progress.as_ref()).await {
                Ok(one) => pushed.push(one),
                Err(error) => {
                    build.tidy();
                    return Err(error);
                }
            }
        }
        build.tidy();
        Ok(pushed)
    }

    /// The images to push, by tag.
    fn chosen(&self, wanted: &PushRequest) -> Result<Vec<(String, Arc<ImageRecord>)>> {
        let reference = &wanted.reference;
        let index = self.shared.snapshot();
        let name = reference.familiar_name();
        let of = |tag: &str| {
            let found = reference.clone().with_tag(tag).ok().and_then(|tagged| index.named(&tagged).cloned());
            found.map(|image| (tag.to_owned(), image))
        };
        let chosen: Vec<_> = match reference.tag() {
            Some(tag) => of(tag).into_iter().collect(),
            None => {
                let tags = index.tags.keys().filter_map(|tag| Reference::parse(tag).ok());
                let own = tags.filter(|tag| tag.familiar_name() == name);
                own.filter_map(|tag| of(tag.tag().unwrap_or_default())).collect()
            }
        };
        if chosen.is_empty() {
            return Err(match reference.tag() {
                Some(_) if index.tags.keys().any(|tag| tag.starts_with(&format!("{name}:"))) => {
                    Error::NoSuchTag(reference.familiar())
                }
                _ => Error::NothingToPush(name),
            });
        }
        for (_, image) in &chosen {
            let own = Platform { os: "linux".to_owned(), ..Platform::of_config(&image.config) };
            if let Some(platform) = wanted.platform.as_ref().filter(|platform| !platform.covers(&own)) {
                return Err(Error::OtherPlatform {
                    reference: reference.familiar(),
                    found: own.to_string(),
                    wanted: platform.to_string(),
                });
            }
        }
        Ok(chosen)
    }

    pub(crate) async fn push_one(
        &self,
        wanted: &PushRequest,
        target: &Target,
        image: &Arc<ImageRecord>,
        progress: Option<&ProgressSender>,
    ) -> Result<Pushed> {
        let reference = &wanted.reference;
        let (id, record) = (image.id.clone(), Arc::clone(image));
        let forms = self.blocking(move |shared| manifest::forms(shared, &record)).await?;
        let remote = &self.shared.remote;
        let repository = remote.writable(reference, &wanted.policy, wanted.credentials.clone())?;
        let sources: BTreeSet<String> = forms.iter().flat_map(|form| form.neighbours(reference)).collect();
        let repository = Arc::new(repository.with_sources(sources.into_iter().take(NEIGHBOURS_MAX).collect()));
        let layers = self.send_layers(&repository, &forms, wanted, progress).await?;
        let (record, named) = (Arc::clone(image), layers.clone());
        let known = self.blocking(move |shared| manifest::own(shared, &record, &named)).await?;
        let is_new = known.is_none();
        let document = known.unwrap_or_else(|| manifest::make(image, &layers, matches!(target, Target::Digest)));
        let tag = target.name().to_owned();
        let bytes = self.blocking({
            let id = id.clone();
            move |shared| Ok(shared.content.read_small(&id, crate::save::CONFIG_BYTES_MAX)?)
        });
        let config = Descriptor { size: image.config_bytes, ..crate::save::descriptor("", id.clone(), 0) };
        let contents = berth_remote::Contents::Bytes(bytes.await?.into());
        repository.upload(&config, &contents, &[], None).await?;
        let size = document.text.len() as u64;
        let place = if tag.is_empty() { document.digest.as_str() } else { &tag };
        let media_type = document.media_type.clone();
        let digest = repository.put_manifest(place, &media_type, document.text.clone().into()).await?;
        let (record, name, noted) = (Arc::clone(image), reference.clone(), digest.clone());
        let made = is_new.then_some(document);
        self.blocking(move |shared| finish(shared, &record, &name, &noted, &layers, made)).await?;
        let shown = if tag.is_empty() { id.as_str() } else { &tag };
        say(progress, Progress::status(format!("{shown}: digest: {digest} size: {size}"))).await;
        let aux = serde_json::json!({"Tag": tag, "Digest": digest, "Size": size});
        let detail = Some(berth_spec::progress::Detail::default());
        say(progress, Progress { aux: Some(aux), detail, ..Progress::default() }).await;
        Ok(Pushed { tag, media_type, digest, size })
    }

    /// Sends the layers that the registry does not have; gives what the manifest says of them, in order.
    pub(crate) async fn send_layers(
        &self,
        repository: &Arc<Repository>,
        forms: &[layer::Form],
        wanted: &PushRequest,
        progress: Option<&ProgressSender>,
    ) -> Result<Vec<Descriptor>> {
        for form in forms {
            say(progress, Progress::step(form.shown(), "Preparing", 0, 0)).await;
        }
        let turns = Arc::new(Semaphore::new(if wanted.uploads == 0 { UPLOADS } else { wanted.uploads }));
        let mut tasks = JoinSet::new();
        let mut done: Vec<Option<Descriptor>> = vec![None; forms.len()];
        let mut firsts = std::collections::HashMap::new();
        for (at, form) in forms.iter().enumerate() {
            if firsts.contains_key(&form.diff_id) {
                continue;
            }
            firsts.insert(form.diff_id.clone(), at);
            let (images, repository, form) = (self.clone(), Arc::clone(repository), form.clone());
            let (turns, progress, reference) = (Arc::clone(&turns), progress.cloned(), wanted.reference.clone());
            tasks.spawn(async move {
                if turns.available_permits() == 0 {
                    say(progress.as_ref(), Progress::step(form.shown(), "Waiting", 0, 0)).await;
                }
                // The semaphore is never closed.
                let _turn = turns.acquire().await;
                let sent = layer::send(&images, &repository, &form, &reference, progress.as_ref()).await?;
                let status = match &sent.uploaded {
                    Uploaded::Existed => "Layer already exists".to_owned(),
                    Uploaded::Mounted(from) => format!("Mounted from {from}"),
                    Uploaded::Sent => "Pushed".to_owned(),
                };
                say(progress.as_ref(), Progress::step(form.shown(), status, 0, 0)).await;
                Ok::<_, Error>((at, sent.blob))
            });
        }
        while let Some(outcome) = tasks.join_next().await {
            // The others are aborted with the set.
            match outcome {
                Ok(outcome) => {
                    let (at, blob) = outcome?;
                    done[at] = Some(blob);
                }
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        let found = forms.iter().filter_map(|form| done[*firsts.get(&form.diff_id)?].clone());
        Ok(found.collect())
    }
}

/// The forms of layers by their chain ids.
pub(crate) fn forms_of(shared: &Shared, chain_ids: &[Digest]) -> Result<Vec<layer::Form>> {
    let form = |chain: &Digest| {
        let record = shared.view(|index| index.layers.get(chain).map(Arc::clone));
        layer::Form::of(shared, &record.ok_or_else(|| Error::Missing(chain.to_string()))?)
    };
    chain_ids.iter().map(form).collect()
}

/// A layer as gzip in the content store.
pub(crate) fn gzip_of(shared: &Shared, chain_id: &Digest) -> Result<Descriptor> {
    let record = shared.view(|index| index.layers.get(chain_id).map(Arc::clone));
    let record = record.ok_or_else(|| Error::Missing(chain_id.to_string()))?;
    let form = layer::Form::of(shared, &record)?;
    if form.compression == berth_archive::Compression::Gzip {
        let kind = layer::oci_type(berth_spec::image::DOCKER_LAYER);
        return Ok(crate::save::descriptor(&kind, record.blob.clone(), record.blob_bytes));
    }
    let (digest, size) = layer::compress(shared, &record)?;
    Ok(crate::save::descriptor(&layer::oci_type(berth_spec::image::DOCKER_LAYER), digest, size))
}

/// Notes what the registry has now.
fn finish(
    shared: &Shared,
    image: &ImageRecord,
    reference: &Reference,
    digest: &Digest,
    layers: &[Descriptor],
    made: Option<crate::known::KnownManifest>,
) -> Result<()> {
    for (diff_id, blob) in image.config.rootfs.diff_ids.iter().zip(layers) {
        shared.note_layer(diff_id, reference, &blob.digest, blob.size, &blob.media_type)?;
    }
    if let Some(made) = made {
        shared.note_manifest(&image.id, &made)?;
    }
    let known = format!("{}@{digest}", reference.familiar_name());
    let _changes = shared.lock_changes();
    let mut record = ImageRecord::clone(&*shared.image(&image.id)?);
    if !record.digests.contains(&known) {
        record.digests.push(known);
        shared.put_image(record.clone(), Durability::Power)?;
    }
    let mut attributes = record.config.config.labels.clone().unwrap_or_default();
    attributes.insert("name".to_owned(), reference.familiar_name());
    shared.bus.publish("image", "push", &reference.familiar(), attributes);
    Ok(())
}

/// Sends a line; nobody listening any more is no error.
pub async fn say(progress: Option<&ProgressSender>, line: Progress) {
    if let Some(progress) = progress {
        let _ = progress.send(line).await;
    }
}
