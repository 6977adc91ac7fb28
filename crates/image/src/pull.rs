//! `pull`: an image from a registry.
//!
//! ```text
//! manifest ─► policy ─► configuration ─► layers that are not here: unpacked while they arrive (see layer, arrival)
//!          ─► record ─► tag
//! ```

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use berth_archive::Compression;
use berth_record::Durability;
use berth_remote::{Credentials, Document, Policy, Repository, Resolved};
use berth_spec::{
    Digest, Platform, Reference,
    image::{Descriptor, ImageConfig},
    progress::Progress,
};

use crate::{
    Error, Images, Result,
    arrival::{Arrival, Guard},
    collect::Build,
    images::Shared,
    known::KnownManifest,
    layer::{self, Plan, Stored},
    load::{parse_config, store_image},
    push::say,
    record::ImageRecord,
    stream::{ProgressSender, tell},
};

/// Longest configuration, in bytes.
const CONFIG_BYTES_MAX: u64 = 8 << 20;
/// Between two looks at how far downloads are.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// What to pull, and how its registry may be spoken to.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// With tag or digest.
    pub reference: Reference,
    /// `None` for the host's own.
    pub platform: Option<Platform>,
    /// For the registry.
    pub credentials: Option<Credentials>,
    /// The daemon's settings.
    pub policy: Policy,
}

impl Images {
    /// Brings an image here and gives its id. `progress` gets Docker's lines; when its receiver goes away, the pull
    /// ends.
    ///
    /// # Errors
    /// [`Error::Remote`], [`Error::OtherPlatform`], [`Error::WrongLayer`], [`Error::Unpack`], [`Error::Interrupted`];
    /// no image is stored then.
    pub async fn pull(&self, wanted: PullRequest, progress: Option<ProgressSender>) -> Result<Digest> {
        let Some(lines) = progress else { return self.pull_whole(&wanted, None).await };
        tokio::select! {
            outcome = self.pull_whole(&wanted, Some(lines.clone())) => outcome,
            () = lines.closed() => Err(Error::Interrupted(wanted.reference.familiar())),
        }
    }

    /// As [`Images::pull`], for every tag of the repository.
    ///
    /// # Errors
    /// As [`Images::pull`]; images before the one at fault stay.
    pub async fn pull_all(&self, wanted: PullRequest, progress: Option<ProgressSender>) -> Result<Vec<Digest>> {
        let repository =
            self.shared.remote.repository(&wanted.reference, &wanted.policy, wanted.credentials.clone())?;
        let mut ids = Vec::new();
        for tag in repository.tags().await? {
            // A tag that Docker's grammar does not know cannot be named here either.
            let Ok(reference) = wanted.reference.clone().with_tag(&tag) else { continue };
            ids.push(self.pull(PullRequest { reference, ..wanted.clone() }, progress.clone()).await?);
        }
        Ok(ids)
    }

    async fn pull_whole(&self, wanted: &PullRequest, progress: Option<ProgressSender>) -> Result<Digest> {
        let reference = &wanted.reference;
        let (remote, verification) = (&self.shared.remote, self.shared.verification());
        verification.admits(reference)?;
        let repository = Arc::new(remote.repository(reference, &wanted.policy, wanted.credentials.clone())?);
        let platform = wanted.platform.clone().unwrap_or_else(Platform::host);
        let resolved = repository.resolve(reference, &platform).await?;
        verification.check(reference, &repository, &resolved).await?;
        let manifest = &resolved.manifest;
        let named = reference.digest().map_or(reference.tag().unwrap_or_default(), Digest::as_str);
        let from = Some(format!("Pulling from {}", reference.path()));
        say(progress.as_ref(), Progress { id: Some(named.to_owned()), status: from, ..Progress::default() }).await;
        let build = Build::begin(&self.shared);
        let (bytes, config) = self.config(&repository, &manifest.config, wanted).await?;
        let mut plans = plans(&config, &manifest.layers)?;
        let arrivals = self.begin(&repository, &mut plans, &manifest.layers, progress.as_ref()).await?;
        // When the client goes away, whoever waits for bytes ends.
        let _guard = Guard(arrivals.clone());
        let (reference, lines) = (reference.clone(), progress.clone());
        let made = self.blocking(move |shared| {
            let build = Build::begin(shared);
            let outcome = layer::make(shared, plans, lines.as_ref())
                .and_then(|()| finish(shared, &bytes, config, &reference, &resolved, lines.as_ref()));
            build.tidy();
            outcome
        });
        let id = tokio::select! {
            outcome = made => outcome,
            () = watch(&arrivals, progress.as_ref()) => Err(Error::Interrupted(wanted.reference.familiar())),
        };
        build.tidy();
        id
    }

    /// The configuration: its bytes, and what they say.
    async fn config(
        &self,
        repository: &Arc<Repository>,
        blob: &Descriptor,
        wanted: &PullRequest,
    ) -> Result<(Vec<u8>, ImageConfig)> {
        if blob.size > CONFIG_BYTES_MAX {
            let reason = format!("its configuration has more than {CONFIG_BYTES_MAX} bytes");
            return Err(berth_remote::Error::Manifest { reference: wanted.reference.familiar(), reason }.into());
        }
        repository.fetch(blob, &self.shared.content).await?;
        let digest = blob.digest.clone();
        let bytes = self.blocking(move |shared| Ok(shared.content.read_small(&digest, CONFIG_BYTES_MAX)?)).await?;
        let config = parse_config(&bytes)?;
        match &wanted.platform {
            Some(platform) if !config.architecture.is_empty() && config.architecture != platform.architecture => {
                Err(Error::OtherPlatform {
                    reference: wanted.reference.familiar(),
                    found: format!("linux/{}", config.architecture),
                    wanted: platform.to_string(),
                })
            }
            _ => Ok((bytes, config)),
        }
    }

    /// Begins the downloads of the layers that are not here.
    async fn begin(
        &self,
        repository: &Arc<Repository>,
        plans: &mut [Plan],
        layers: &[Descriptor],
        progress: Option<&ProgressSender>,
    ) -> Result<Vec<Arc<Arrival>>> {
        let shared = &self.shared;
        let mut arrivals = Vec::new();
        for (plan, blob) in plans.iter_mut().zip(layers) {
            if layer::is_here(shared, &plan.chain_id) {
                say(progress, step(&blob.digest, "Already exists")).await;
                continue;
            }
            say(progress, step(&blob.digest, "Pulling fs layer")).await;
            if shared.content.contains(&blob.digest) {
                say(progress, step(&blob.digest, "Download complete")).await;
                continue;
            }
            let arrival = Arc::new(Arrival::begin(&shared.remote, repository, &shared.content, blob)?);
            plan.arrival = Some(Arc::clone(&arrival));
            arrivals.push(arrival);
        }
        Ok(arrivals)
    }
}

/// Tells how far the downloads are, for as long as it is asked.
async fn watch(arrivals: &[Arc<Arrival>], progress: Option<&ProgressSender>) {
    let Some(progress) = progress else { return std::future::pending().await };
    loop {
        tokio::time::sleep(PROGRESS_EVERY).await;
        for line in arrivals.iter().flat_map(|arrival| arrival.news()) {
            // A slow client misses a line.
            let _ = progress.try_send(line);
        }
    }
}

/// What the layers will be, lowest first, before any of them is here.
fn plans(config: &ImageConfig, layers: &[Descriptor]) -> Result<Vec<Plan>> {
    let stored = |blob: &Descriptor| Stored {
        blob: blob.digest.clone(),
        blob_bytes: blob.size,
        raw: blob.digest.clone(),
        compression: match blob.media_type.as_str() {
            zstd if zstd.ends_with("zstd") => Compression::Zstd,
            gzip if gzip.ends_with("gzip") => Compression::Gzip,
            _ => Compression::None,
        },
    };
    let mut plans = layer::plans(&config.rootfs.diff_ids, layers.iter().map(stored).collect())?;
    for (plan, blob) in plans.iter_mut().zip(layers) {
        plan.pulled_as = Some(berth_kit::id::short(blob.digest.hex()).to_owned());
    }
    Ok(plans)
}

/// Writes the records: the image, its digest on the registry, its name.
fn finish(
    shared: &Shared,
    bytes: &[u8],
    config: ImageConfig,
    reference: &Reference,
    resolved: &Resolved,
    progress: Option<&ProgressSender>,
) -> Result<Digest> {
    let Resolved { digest, manifest, document } = resolved;
    for (diff_id, blob) in config.rootfs.diff_ids.iter().zip(&manifest.layers) {
        shared.note_layer(diff_id, reference, &blob.digest, blob.size, &blob.media_type)?;
    }
    let _changes = shared.lock_changes();
    let name = reference.familiar();
    let before = shared.view(|index| index.named(reference).map(|image| image.id.clone()));
    let id = store_image(shared, bytes, config, None)?;
    if let Some(known) = known(document) {
        shared.note_manifest(&id, &known)?;
    }
    let mut image = ImageRecord::clone(&*shared.image(&id)?);
    let known = format!("{}@{digest}", reference.familiar_name());
    if !image.digests.contains(&known) {
        image.digests.push(known);
        shared.put_image(image.clone(), Durability::Power)?;
    }
    if reference.digest().is_none() {
        shared.put_tag(&name, &id)?;
    }
    let mut attributes: BTreeMap<String, String> = image.config.config.labels.clone().unwrap_or_default();
    attributes.insert("name".to_owned(), reference.familiar_name());
    shared.bus.publish("image", "pull", &name, attributes);
    tell(progress, Progress::status(format!("Digest: {digest}")));
    let outcome = if before.as_ref() == Some(&id) { "Image is up to date" } else { "Downloaded newer image" };
    tell(progress, Progress::status(format!("Status: {outcome} for {name}")));
    Ok(id)
}

fn step(blob: &Digest, status: &str) -> Progress {
    Progress::step(berth_kit::id::short(blob.hex()), status, 0, 0)
}

/// A manifest to be kept; one that is no text is not worth it.
fn known(document: &Document) -> Option<KnownManifest> {
    let text = String::from_utf8(document.bytes.to_vec()).ok()?;
    Some(KnownManifest { digest: document.digest.clone(), media_type: document.media_type.clone(), text })
}
