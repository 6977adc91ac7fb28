//! The builder: a request becomes images.

mod ask;
mod kept;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use berth_container::Containers;
use berth_dockerfile::{
    Dockerfile,
    scope::{Globals, Platforms},
};
use berth_image::Images;
use berth_kit::time::Timestamp;
use berth_record::Store;
use berth_snapshot::Snapshotter;
use berth_spec::{Digest, Platform};
use tokio::sync::{OnceCell, mpsc};

use crate::{
    Error, EventSender, Folder, PruneRequest, Request, Result,
    cache::Cache,
    checksum::Checksums,
    context::{ContextStore, blocking},
    event::{Event, Outcome, Teller, Warning},
    exchange::Imports,
    fetch::{Asker, RemoteContext, Remotes},
    history::History,
    mount::CacheFolders,
    plan,
    stage::Solve,
    state::State,
};
use kept::{Kept, excerpt, last_vertexes, pass_on, record_of};

/// Events that may wait on their way through the history.
const QUEUE: usize = 256;
/// What the cache is cut down to after a build, in bytes, unless the daemon says otherwise.
const KEEP_BYTES: u64 = 20 << 30;

/// Builds. Clones share everything.
#[derive(Clone)]
pub struct Builder {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub images: Images,
    pub containers: Containers,
    pub snapshots: Arc<dyn Snapshotter>,
    pub cache: Arc<Cache>,
    pub checksums: Checksums,
    pub contexts: ContextStore,
    pub folders: CacheFolders,
    pub remotes: Remotes,
    pub store: Store,
    pub history: History,
    pub keep_bytes: u64,
    /// Caches that clients fetch, by the reference of their build.
    pub outgoing: Mutex<BTreeMap<String, Folder>>,
}

/// An image that was built.
#[derive(Debug, Clone)]
pub struct Built {
    /// Digest of its configuration.
    pub id: Digest,
    /// What it runs on.
    pub platform: Platform,
}

/// What a build came to.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its name in the history.
    pub reference: String,
    /// One a platform, in the request's order.
    pub images: Vec<Built>,
    /// Names of the one that runs here.
    pub names: Vec<String>,
    /// What was pushed, by its digest on the registry.
    pub pushed: Option<Digest>,
}

impl Builder {
    /// Opens the cache below `root`; `keep_bytes` is what it is cut down to after each build.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Record`].
    pub fn open(
        root: &Path,
        store: Store,
        images: Images,
        containers: Containers,
        snapshots: Arc<dyn Snapshotter>,
        keep_bytes: Option<u64>,
    ) -> Result<Self> {
        let cache = Arc::new(Cache::open(store.clone())?);
        images.set_keeper(Arc::clone(&cache) as Arc<dyn berth_image::Keeper>);
        let shared = Shared {
            contexts: ContextStore::open(&root.join("context"), &root.join("work"))?,
            folders: CacheFolders::open(&root.join("cache"))?,
            remotes: Remotes::open(&root.join("remote"))?,
            history: History::open(store.clone(), root.join("history"))?,
            store,
            outgoing: Mutex::default(),
            checksums: Checksums::default(),
            keep_bytes: keep_bytes.unwrap_or(KEEP_BYTES),
            images,
            containers,
            snapshots,
            cache,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Folders of clients.
    #[must_use]
    pub fn contexts(&self) -> &ContextStore {
        &self.shared.contexts
    }

    /// Brings what lies at an address, for a build: a repository, an archive, or a Dockerfile alone.
    ///
    /// # Errors
    /// [`Error::Remote`], [`Error::Missing`], [`Error::Invalid`].
    pub async fn remote_context(
        &self,
        address: &str,
        policy: &berth_remote::Policy,
        client: &Arc<dyn crate::Client>,
    ) -> Result<RemoteContext> {
        Asker { shared: &self.shared, policy, client }.context(address).await
    }

    /// Builds. Dropping the future cancels. `events` hears what happens.
    ///
    /// # Errors
    /// Any of this crate's; the first step that fails ends the build.
    pub async fn build(&self, mut request: Request, events: EventSender) -> Result<Finished> {
        if request.reference.is_empty() {
            request.reference = berth_kit::id::generate();
        }
        let mut record = record_of(&request);
        let dockerfile = (request.dockerfile_name.clone(), request.dockerfile.clone());
        self.shared.history.put(&record)?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut kept =
            Kept { shared: Arc::clone(&self.shared), record: record.clone(), events: Vec::new(), done: false };
        let work = self.work(request, Teller::new(sender));
        let listen = pass_on(receiver, &events, &mut kept.events);
        let (outcome, ()) = tokio::join!(work, listen);
        record.completed = Some(Timestamp::now());
        match &outcome {
            Ok(finished) => record.images = finished.images.iter().map(|image| image.id.to_string()).collect(),
            Err(error) => record.error = Some(error.chain()),
        }
        let steps = last_vertexes(&kept.events);
        (record.steps, record.cached) = (steps.len(), steps.values().filter(|cached| **cached).count());
        let end = Event::Outcome(Outcome {
            images: record.images.clone(),
            names: outcome.as_ref().map(|finished| finished.names.clone()).unwrap_or_default(),
            pushed: outcome.as_ref().ok().and_then(|finished| finished.pushed.as_ref()).map(Digest::to_string),
            reference: record.reference.clone(),
            error: record.error.clone(),
            shown: record.error.as_ref().and_then(|_| excerpt(&kept.events, &dockerfile)),
        });
        let _ = events.send(end.clone()).await;
        kept.events.push(end);
        kept.record = record;
        kept.finish();
        drop(kept);
        outcome
    }

    async fn work(&self, request: Request, teller: Teller) -> Result<Finished> {
        let _hold = self.shared.images.hold();
        let file = parse(&request)?;
        let request = Arc::new(request);
        let file = Arc::new(file);
        let host = Platform::host();
        let began = Timestamp::now();
        let imports = Arc::new(self.imports(&request, &teller).await);
        let platforms = if request.platforms.is_empty() { vec![host.clone()] } else { request.platforms.clone() };
        let mut solves = Vec::new();
        for target in platforms {
            solves.push(self.solve_of(&request, &file, &host, target, (teller.clone(), Arc::clone(&imports)))?);
        }
        warn(&solves[0], &teller).await?;
        if request.check_only {
            return Ok(Finished {
                reference: request.reference.clone(),
                images: Vec::new(),
                names: Vec::new(),
                pushed: None,
            });
        }
        let states = futures_util::future::try_join_all(solves.iter().map(|solve| run(Arc::clone(solve)))).await?;
        // Names mean the image that runs here, where there is one.
        let own = solves.iter().position(|solve| solve.platforms.target == host).unwrap_or(0);
        let mut images = Vec::new();
        for (number, (solve, state)) in solves.iter().zip(&states).enumerate() {
            let names = if number == own { request.tags.clone() } else { Vec::new() };
            let image = self.finish(solve, state.clone(), names).await?;
            self.attest(solve, state, &image, began).await?;
            images.push(image);
        }
        let pushed = self.send_out(&solves, &states, &images).await?;
        for solve in &solves {
            let used = std::mem::take(&mut *solve.used.lock().unwrap_or_else(PoisonError::into_inner));
            let cache = Arc::clone(&self.shared.cache);
            blocking(move || {
                cache.note_uses(&used);
                Ok(())
            })
            .await?;
        }
        self.collect_later();
        Ok(Finished { reference: request.reference.clone(), images, names: request.tags.clone(), pushed })
    }

    fn solve_of(
        &self,
        request: &Arc<Request>,
        file: &Arc<Dockerfile>,
        host: &Platform,
        target: Platform,
        (teller, imports): (Teller, Arc<Imports>),
    ) -> Result<Arc<Solve>> {
        if target.os != "linux" {
            return Err(Error::Invalid(format!("platform {target} cannot be built: images here are for linux")));
        }
        let platforms = Platforms { build: host.clone(), target };
        let stage = request.target.clone().unwrap_or_default();
        let globals =
            Globals::new(file, &request.args, &platforms, &stage).map_err(|fault| plan::faulty(request, &fault))?;
        let epoch = match request.args.get("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| Error::Invalid(format!("invalid SOURCE_DATE_EPOCH: {text}")))?),
        };
        Ok(Arc::new(Solve {
            shared: Arc::clone(&self.shared),
            request: Arc::clone(request),
            file: Arc::clone(file),
            globals,
            platforms,
            teller,
            epoch,
            stages: file.stages.iter().map(|_| OnceCell::new()).collect(),
            trees: Mutex::default(),
            ignore: OnceLock::new(),
            used: Mutex::default(),
            imports,
            materials: Mutex::default(),
        }))
    }

    /// Cuts the cache down once nobody waits for it.
    fn collect_later(&self) {
        let builder = self.clone();
        tokio::spawn(async move {
            let request = PruneRequest { all: true, keep_bytes: builder.shared.keep_bytes, ..PruneRequest::default() };
            if let Err(error) = builder.prune(request).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot cut the build cache down");
            }
        });
    }
}

fn parse(request: &Request) -> Result<Dockerfile> {
    berth_dockerfile::parse_bytes(&request.dockerfile).map_err(|faults| {
        let text = String::from_utf8_lossy(&request.dockerfile);
        let all: Vec<String> = faults.iter().map(|fault| fault.render(&request.dockerfile_name, &text)).collect();
        Error::Dockerfile(all.join("\n"))
    })
}

/// Tells what the checks found; fails where the file says that findings fail.
async fn warn(solve: &Solve, teller: &Teller) -> Result<()> {
    let request = &solve.request;
    let found = {
        let around = berth_dockerfile::lint::Surroundings {
            build_args: &request.args,
            platforms: &solve.platforms,
            target: request.target.as_deref().unwrap_or_default(),
            ignore: None,
            base_env: &|_| None,
            check: None,
        };
        berth_dockerfile::lint::check(&solve.file, &around)
    };
    let text = String::from_utf8_lossy(&request.dockerfile);
    for finding in &found {
        let warning = Warning {
            rule: finding.rule.unwrap_or_default().to_owned(),
            message: finding.message.clone(),
            line: finding.span.start.line,
            column: finding.span.start.column,
            rendered: finding.render(&request.dockerfile_name, &text),
        };
        teller.tell(Event::Warning(warning)).await;
    }
    match found.first().filter(|_| solve.file.directives.check.error) {
        Some(first) => Err(plan::faulty(request, first)),
        None => Ok(()),
    }
}

/// Solves what the target needs, all stages at once.
async fn run(solve: Arc<Solve>) -> Result<State> {
    let (file, request) = (Arc::clone(&solve.file), Arc::clone(&solve.request));
    let target = file.target(request.target.as_deref()).ok_or_else(|| {
        let name = request.target.as_deref().unwrap_or_default();
        Error::Invalid(format!("failed to reach build target {name} in Dockerfile"))
    })?;
    let needed = plan::needed(&file, &request, &solve.globals, target.index)?;
    for index in &needed {
        solve.announce(*index).await;
    }
    let stages = needed.iter().map(|index| {
        let (solve, index) = (Arc::clone(&solve), *index);
        async move { solve.stage(index).await }
    });
    let solved = futures_util::future::try_join_all(stages).await?;
    let position = needed.iter().position(|index| *index == target.index).unwrap_or(0);
    Ok(State::clone(&solved[position]))
}

/// Whether programs of a platform run on this host, by themselves or by what is registered for them.
pub(crate) fn can_run(host: &Platform, wanted: &Platform) -> bool {
    if wanted.os != "linux" {
        return false;
    }
    if wanted.architecture == host.architecture || (host.architecture == "amd64" && wanted.architecture == "386") {
        return true;
    }
    let program = match wanted.architecture.as_str() {
        "arm64" => "aarch64",
        "amd64" => "x86_64",
        "386" => "i386",
        "loong64" => "loongarch64",
        other => other,
    };
    std::fs::read_to_string(format!("/proc/sys/fs/binfmt_misc/qemu-{program}"))
        .is_ok_and(|text| text.starts_with("enabled"))
}
