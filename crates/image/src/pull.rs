//! `pull`: an image from a registry.
//!
//! ```text
//! manifest ─► configuration ─► layers that are not here, three at a time ─► unpacked (see layer) ─► record ─► tag
//! ```

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use berth_archive::Compression;
use berth_record::Durability;
use berth_remote::{Credentials, Policy, Repository, Resolved};
use berth_spec::{
    Digest, Platform, Reference,
    image::{Descriptor, ImageConfig},
    progress::Progress,
};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    Error, Images, Result,
    collect::Build,
    images::Shared,
    layer::{self, Plan, Stored},
    load::{parse_config, store_image},
    record::ImageRecord,
    stream::{ProgressSender, tell},
};

/// Layers fetched at the same time: Docker's number.
const FETCHES: usize = 3;
/// Longest configuration, in bytes.
const CONFIG_BYTES_MAX: u64 = 8 << 20;
/// Bytes between two lines of progress.
const PROGRESS_STEP_BYTES: u64 = 512 << 10;

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

    async fn pull_whole(&self, wanted: &PullRequest, progress: Option<ProgressSender>) -> Result<Digest> {
        let reference = &wanted.reference;
        let repository = Arc::new(Repository::open(reference, &wanted.policy, wanted.credentials.clone())?);
        let platform = wanted.platform.clone().unwrap_or_else(Platform::host);
        let Resolved { digest, manifest, document: _ } = repository.resolve(reference, &platform).await?;
        let named = reference.digest().map_or(reference.tag().unwrap_or_default(), Digest::as_str);
        let from = Some(format!("Pulling from {}", reference.path()));
        say(progress.as_ref(), Progress { id: Some(named.to_owned()), status: from, ..Progress::default() }).await;
        let build = Build::begin(&self.shared);
        let (bytes, config) = self.config(&repository, &manifest.config, wanted).await?;
        let plans = plans(&config, &manifest.layers)?;
        self.fetch(&repository, &plans, &manifest.layers, progress.as_ref()).await?;
        let wanted = wanted.clone();
        let id = self
            .blocking(move |shared| {
                let build = Build::begin(shared);
                let outcome = layer::make(shared, plans, progress.as_ref())
                    .and_then(|()| finish(shared, &bytes, config, &wanted.reference, &digest, progress.as_ref()));
                build.tidy();
                outcome
            })
            .await;
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

    /// Fetches the blobs of the layers that are not here.
    async fn fetch(
        &self,
        repository: &Arc<Repository>,
        plans: &[Plan],
        layers: &[Descriptor],
        progress: Option<&ProgressSender>,
    ) -> Result<()> {
        let (mut tasks, turns) = (JoinSet::new(), Arc::new(Semaphore::new(FETCHES)));
        let mut seen = HashSet::new();
        for (plan, blob) in plans.iter().zip(layers) {
            if layer::is_here(&self.shared, &plan.chain_id) {
                say(progress, step(&blob.digest, "Already exists")).await;
                continue;
            }
            say(progress, step(&blob.digest, "Pulling fs layer")).await;
            if !seen.insert(blob.digest.clone()) {
                continue;
            }
            let (repository, content) = (Arc::clone(repository), self.shared.content.clone());
            let (blob, turns, progress) = (blob.clone(), Arc::clone(&turns), progress.cloned());
            tasks.spawn(async move {
                // The semaphore is never closed.
                let _turn = turns.acquire().await;
                fetch_layer(&repository, &content, &blob, progress.as_ref()).await
            });
        }
        while let Some(outcome) = tasks.join_next().await {
            // The others are aborted with the set.
            match outcome {
                Ok(outcome) => outcome?,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        Ok(())
    }
}

async fn fetch_layer(
    repository: &Arc<Repository>,
    content: &berth_content::Store,
    blob: &Descriptor,
    progress: Option<&ProgressSender>,
) -> Result<()> {
    let shown = berth_kit::id::short(blob.digest.hex()).to_owned();
    let last = AtomicU64::new(0);
    let told = |current: u64| {
        if current < last.load(Ordering::Relaxed) + PROGRESS_STEP_BYTES && current != blob.size {
            return;
        }
        last.store(current, Ordering::Relaxed);
        if let Some(progress) = progress {
            // A slow client misses a line.
            let _ = progress.try_send(Progress::step(&shown, "Downloading", current, blob.size));
        }
    };
    told(0);
    repository.fetch(blob, content).await?;
    say(progress, step(&blob.digest, "Verifying Checksum")).await;
    say(progress, step(&blob.digest, "Download complete")).await;
    Ok(())
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
    digest: &Digest,
    progress: Option<&ProgressSender>,
) -> Result<Digest> {
    let _changes = shared.lock_changes();
    let name = reference.familiar();
    let before = shared.view(|index| index.named(reference).map(|image| image.id.clone()));
    let id = store_image(shared, bytes, config, None)?;
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
    let status = |text: String| Progress { status: Some(text), ..Progress::default() };
    tell(progress, status(format!("Digest: {digest}")));
    let outcome = if before.as_ref() == Some(&id) { "Image is up to date" } else { "Downloaded newer image" };
    tell(progress, status(format!("Status: {outcome} for {name}")));
    Ok(id)
}

fn step(blob: &Digest, status: &str) -> Progress {
    Progress::step(berth_kit::id::short(blob.hex()), status, 0, 0)
}

/// Sends a line; nobody listening any more is no error.
async fn say(progress: Option<&ProgressSender>, line: Progress) {
    if let Some(progress) = progress {
        let _ = progress.send(line).await;
    }
}
