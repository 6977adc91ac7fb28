//! A solve of BuildKit's protocol as a request to the builder, and its answer.

use std::{collections::BTreeMap, sync::Arc};

use berth_build::{Allowed, Attest, CacheFrom, CacheTo, Event, Folder, NoCache, RemoteContext, Request, Source};
use berth_buildkit::{
    Builder, Solve, find,
    grpc::{Code, Status},
    progress::Progress,
    proto::{
        Timestamp,
        control::{PruneRequest, UsageRecord, Vertex},
    },
    read, request,
    session::{Session, Wanted},
};
use berth_dockerfile::Ignore;
use berth_kit::{Kind, Kinded};
use berth_spec::{Platform, model};
use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::mpsc;

use super::{
    cache,
    client::SessionClient,
    export,
    progress::{Shown, message},
    source::{Here, SessionFolder, unpack},
};
use crate::{Engine, registry};

/// Events on their way to clients.
const QUEUE: usize = 64;

/// The engine's builder behind BuildKit's door.
pub struct SolveDoor(pub Arc<Engine>);

/// A Dockerfile, and the files that it may copy.
struct Inputs {
    dockerfile: Vec<u8>,
    context: Source,
}

impl Builder for SolveDoor {
    fn build(&self, solve: Solve, progress: Progress) -> BoxFuture<'_, Result<BTreeMap<String, String>, Status>> {
        self.run(solve, progress).boxed()
    }

    fn image_env<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Option<Vec<String>>> {
        async move {
            let image = self.0.images.resolve(reference).await.ok()?;
            Some(image.config.config.env.unwrap_or_default())
        }
        .boxed()
    }

    fn usage(&self) -> BoxFuture<'_, Result<Vec<UsageRecord>, Status>> {
        async move {
            let entries = self.0.builder.usage().await.map_err(failed)?;
            Ok(entries.into_iter().map(|(entry, bytes)| usage_record(&entry, bytes)).collect())
        }
        .boxed()
    }

    fn prune(&self, request: PruneRequest) -> BoxFuture<'_, Result<Vec<UsageRecord>, Status>> {
        async move {
            let wanted = prune_request(&request)?;
            let mut report = self.0.builder.prune(wanted).await.map_err(failed)?;
            let mut records: Vec<_> = report.removed.iter().map(|entry| usage_record(entry, 0)).collect();
            // The builder knows the sum alone.
            if let Some(first) = records.first_mut() {
                first.size = i64::try_from(std::mem::take(&mut report.bytes)).unwrap_or(i64::MAX);
            }
            Ok(records)
        }
        .boxed()
    }

    fn platforms(&self) -> Vec<String> {
        let host = Platform::host();
        let foreign = [
            ("arm64", "aarch64"),
            ("arm/v7", "arm"),
            ("riscv64", "riscv64"),
            ("ppc64le", "ppc64le"),
            ("s390x", "s390x"),
        ];
        let registered = |program: &str| {
            let path = format!("/proc/sys/fs/binfmt_misc/qemu-{program}");
            std::fs::read_to_string(path).is_ok_and(|text| text.starts_with("enabled"))
        };
        let foreign = foreign.into_iter().filter(|(_, program)| registered(program));
        let foreign = foreign.map(|(name, _)| format!("linux/{name}"));
        std::iter::once(host.to_string()).chain(foreign.filter(|name| *name != host.to_string())).collect()
    }

    fn host_gateway(&self) -> Option<String> {
        None
    }
}

impl SolveDoor {
    async fn run(&self, solve: Solve, progress: Progress) -> Result<BTreeMap<String, String>, Status> {
        refuse_absent(&solve)?;
        let session = solve.session.clone().ok_or_else(|| Status::invalid("a build needs a session"))?;
        let exports = export::plan(&solve.exports)?;
        let inputs = self.inputs(&solve, &session, &progress).await?;
        if let Some(policy) = &solve.policy {
            super::policy::check(policy, &inputs.dockerfile, &solve.options).await?;
        }
        let mut request = Request::new(inputs.dockerfile, inputs.context);
        fill(&mut request, &solve, &session)?;
        for cache in solve.cache_imports.iter().filter(|cache| cache.kind == "local") {
            request.cache_from.push(cache::bring(self.0.builder.contexts(), &session, cache).await?);
        }
        for (name, value) in &solve.options.contexts {
            let session = match value.strip_prefix("local:") {
                Some(local) => session_of(&solve, local, &session).await?,
                None => Arc::clone(&session),
            };
            request.contexts.insert(name.clone(), named(&solve, &session, value)?);
        }
        request.tags = exports.names.clone();
        request.push = exports.push;
        request.policy = registry::policy(&self.0);
        let shown = (request.dockerfile_name.clone(), request.dockerfile.clone());
        let (sender, mut events) = mpsc::channel(QUEUE);
        let began = Timestamp::now();
        let listen = async {
            while let Some(event) = events.recv().await {
                let is_end = matches!(event, Event::Outcome(_));
                if let Ok(message) = message(event, &Shown { name: &shown.0, text: &shown.1 }, began) {
                    progress.tell(message);
                }
                if is_end {
                    break;
                }
            }
        };
        let (finished, ()) = tokio::join!(self.0.builder.build(request, sender), listen);
        let finished = finished.map_err(failed)?;
        let mut told = export::run(&self.0, &session, &exports, &finished, &progress).await?;
        if let Some(cache) = solve.cache_exports.iter().find(|cache| cache.kind == "local")
            && let Some(folder) = self.0.builder.take_cache(&finished.reference)
        {
            let work = cache::send(&folder, &session, cache);
            let manifest = export::step(&progress, &finished.reference, "sending cache to the client", work).await?;
            told.insert(cache::MANIFEST.to_owned(), manifest);
        }
        Ok(told)
    }

    async fn inputs(&self, solve: &Solve, session: &Arc<Session>, progress: &Progress) -> Result<Inputs, Status> {
        let options = &solve.options;
        let name = format!("[internal] load build definition from {}", options.filename);
        let id = berth_build_id(&solve.reference, &name);
        let started = Some(Timestamp::now());
        progress.vertex(Vertex { digest: id.clone(), name: name.clone(), started, ..Vertex::default() });
        let found = self.load(solve, session).await;
        let error = found.as_ref().err().map(|status| status.message.clone()).unwrap_or_default();
        let completed = Some(Timestamp::now());
        progress.vertex(Vertex { digest: id, name, started, completed, error, ..Vertex::default() });
        found
    }

    async fn load(&self, solve: &Solve, session: &Arc<Session>) -> Result<Inputs, Status> {
        let options = &solve.options;
        match &options.context {
            request::Source::Local(name) => {
                let session = &session_of(solve, name, session).await?;
                let found = find(&solve.contexts, session, options).await?;
                let ignore = found.ignore.map(|bytes| Ignore::parse(&bytes)).transpose();
                let ignore = ignore.map_err(|error| Status::invalid(error.to_string()))?.unwrap_or_default();
                let exclude = ignore.patterns().map(str::to_owned).collect();
                let wanted = Wanted { name: name.clone(), exclude, ..Wanted::default() };
                Ok(Inputs { dockerfile: found.bytes, context: folder(solve, session, wanted) })
            }
            request::Source::Upload(path) => {
                let folder = unpack(self.0.builder.contexts(), session, path).await?;
                let dockerfile = match &options.dockerfile {
                    Some(request::Source::Local(_)) => find(&solve.contexts, session, options).await?.bytes,
                    _ => read_in(folder.clone(), &options.filename).await?,
                };
                Ok(Inputs { dockerfile, context: Source::Folder(Arc::new(Here(folder))) })
            }
            request::Source::Remote(address) => {
                let client: Arc<dyn berth_build::Client> = Arc::new(SessionClient(Arc::clone(session)));
                let policy = registry::policy(&self.0);
                match self.0.builder.remote_context(address, &policy, &client).await.map_err(failed)? {
                    RemoteContext::Dockerfile(dockerfile) => Ok(Inputs { dockerfile, context: Source::Nothing }),
                    RemoteContext::Folder(folder) => {
                        let dockerfile = match &options.dockerfile {
                            Some(request::Source::Local(_)) => find(&solve.contexts, session, options).await?.bytes,
                            _ => read_in(folder.clone(), &options.filename).await?,
                        };
                        Ok(Inputs { dockerfile, context: Source::Folder(Arc::new(Here(folder))) })
                    }
                }
            }
        }
    }
}

async fn read_in(folder: Folder, filename: &str) -> Result<Vec<u8>, Status> {
    let name = filename.to_owned();
    let bytes = tokio::task::spawn_blocking(move || read(&folder.path, &name)).await.map_err(Status::gone)?;
    bytes.map_err(|error| Status::new(Code::NotFound, format!("failed to read dockerfile: open {filename}: {error}")))
}

fn folder(solve: &Solve, session: &Arc<Session>, wanted: Wanted) -> Source {
    Source::Folder(Arc::new(SessionFolder { contexts: solve.contexts.clone(), session: Arc::clone(session), wanted }))
}

/// The session that has a folder: several builds may share one for a folder that they share.
async fn session_of(solve: &Solve, name: &str, own: &Arc<Session>) -> Result<Arc<Session>, Status> {
    match solve.options.sessions.get(name) {
        Some(id) => solve.sessions.get(id).await,
        None => Ok(Arc::clone(own)),
    }
}

/// What a solve may ask for and this builder does not have, by name.
fn refuse_absent(solve: &Solve) -> Result<(), Status> {
    let refuse = |what: String| Err(Status::new(Code::Unimplemented, format!("{what} is not there")));
    if solve.cache_exports.iter().filter(|cache| cache.kind == "local").count() > 1 {
        return refuse("a second cache export type=local".to_owned());
    }
    if let Some(cache) = solve.cache_imports.iter().find(|cache| !["registry", "local"].contains(&&*cache.kind)) {
        return refuse(format!("cache import type={}", cache.kind));
    }
    match solve.options.hostname.is_some() {
        true => refuse("option \"hostname\"".to_owned()),
        false => Ok(()),
    }
}

fn fill(request: &mut Request, solve: &Solve, session: &Arc<Session>) -> Result<(), Status> {
    let options = &solve.options;
    request.reference = solve.reference.clone();
    request.dockerfile_name = options.filename.clone();
    request.args = options.build_args.clone();
    request.target = options.target.clone();
    request.labels = options.labels.clone();
    request.platforms = options.platforms.clone();
    request.no_cache = match &options.no_cache {
        request::NoCache::Nothing => NoCache::Nothing,
        request::NoCache::All => NoCache::All,
        request::NoCache::Stages(stages) => NoCache::Stages(stages.clone()),
    };
    request.pull = options.pull;
    let registries = solve.cache_imports.iter().filter(|cache| cache.kind == "registry");
    let references = registries.filter_map(|cache| cache.attrs.get("ref"));
    request.cache_from = references.cloned().map(CacheFrom::Registry).collect();
    request.cache_to = solve.cache_exports.iter().map(cache_to).collect::<Result<_, _>>()?;
    request.always_index = options.multi_platform;
    for (kind, value) in &options.attestations {
        // What a client adds of its own accord is made only where the result can hold it.
        if value.split(',').any(|part| part == "inline-only=true") {
            continue;
        }
        let attest = Attest::parse(&format!("type={kind},{value}"));
        request.attest.extend(attest.map_err(|text| Status::new(Code::Unimplemented, text))?);
    }
    request.network = options.network.clone();
    request.add_hosts = options.add_hosts.iter().map(|(name, address)| format!("{name}:{address}")).collect();
    request.shm_bytes = options.shm_size_bytes.and_then(|bytes| i64::try_from(bytes).ok());
    request.ulimits = options.ulimits.iter().map(|text| ulimit(text)).collect::<Result<_, _>>()?;
    request.cgroup_parent = options.cgroup_parent.clone();
    for entitlement in &solve.entitlements {
        match entitlement.as_str() {
            "network.host" => request.allowed.host_network = true,
            "security.insecure" => request.allowed.insecure = true,
            device if device == "device" || device.starts_with("device=") => request.allowed.device = true,
            other => return Err(Status::new(Code::Unimplemented, format!("entitlement {other:?} is not there"))),
        }
    }
    // Docker's driver lets clients of the engine use its network.
    request.allowed = Allowed { host_network: true, ..request.allowed };
    request.client = Arc::new(SessionClient(Arc::clone(session)));
    Ok(())
}

/// `type=inline`, `type=local,dest=DIR`, `type=registry,ref=NAME,mode=max`.
fn cache_to(cache: &request::Cache) -> Result<CacheTo, Status> {
    let known: &[&str] = match cache.kind.as_str() {
        "local" => &["dest", "tag", "mode", "image-manifest", "oci-mediatypes", "ignore-error"],
        _ => &["ref", "mode", "image-manifest", "oci-mediatypes", "compression", "ignore-error", "force-compression"],
    };
    if let Some(name) = cache.attrs.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(Status::new(Code::Unimplemented, format!("cache option {name:?} is not there")));
    }
    let max = cache.attrs.get("mode").is_some_and(|mode| mode == "max");
    match (cache.kind.as_str(), cache.attrs.get("ref")) {
        ("inline", _) => Ok(CacheTo::Inline),
        ("local", _) => Ok(CacheTo::Folder { max }),
        (_, Some(reference)) => Ok(CacheTo::Registry { reference: reference.clone(), max }),
        (_, None) => Err(Status::invalid("a cache on a registry needs a ref")),
    }
}

/// A named context: `local:NAME`, `docker-image://REFERENCE`, a repository, an archive.
fn named(solve: &Solve, session: &Arc<Session>, value: &str) -> Result<Source, Status> {
    if let Some(name) = value.strip_prefix("local:") {
        return Ok(folder(solve, session, Wanted { name: name.to_owned(), ..Wanted::default() }));
    }
    match value.strip_prefix("docker-image://") {
        Some(reference) => Ok(Source::Image(reference.to_owned())),
        None if value.contains("://") && !value.starts_with("oci-layout://") => Ok(Source::Remote(value.to_owned())),
        None => Err(Status::new(Code::Unimplemented, format!("the build context {value:?} is not there"))),
    }
}

/// `nofile=1024:2048`.
fn ulimit(text: &str) -> Result<model::ResourcesUlimits, Status> {
    let wrong = || Status::invalid(format!("invalid ulimit {text:?}"));
    let (name, values) = text.split_once('=').ok_or_else(wrong)?;
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| text.parse::<i64>().map_err(|_| wrong());
    Ok(model::ResourcesUlimits { name: Some(name.to_owned()), soft: Some(number(soft)?), hard: Some(number(hard)?) })
}

fn usage_record(entry: &berth_build::Entry, bytes: u64) -> UsageRecord {
    let time =
        |at: berth_kit::time::Timestamp| Timestamp::from_nanoseconds(i64::try_from(at.as_nanosecond()).unwrap_or(0));
    UsageRecord {
        id: entry.key.clone(),
        size: i64::try_from(bytes).unwrap_or(i64::MAX),
        created_at: Some(time(entry.created)),
        last_used_at: Some(time(entry.last_used)),
        usage_count: i64::try_from(entry.uses).unwrap_or(i64::MAX),
        description: entry.text.clone(),
        record_type: entry.kind.clone(),
        parents: entry.parent.iter().cloned().collect(),
        ..UsageRecord::default()
    }
}

fn prune_request(request: &PruneRequest) -> Result<berth_build::PruneRequest, Status> {
    let mut filters = Vec::new();
    for part in request.filter.iter().flat_map(|filter| filter.split(',')).filter(|part| !part.is_empty()) {
        filters.push(match part.split_once("==") {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None if part.contains("!=") || part.contains("~=") => {
                return Err(Status::new(Code::Unimplemented, format!("filter {part:?} is not there: use name==value")));
            }
            None => (part.to_owned(), String::new()),
        });
    }
    let unused_since = (request.keep_duration > 0).then(|| {
        let ago = std::time::Duration::from_nanos(request.keep_duration.unsigned_abs());
        berth_kit::time::Timestamp::now() - jiff::SignedDuration::try_from(ago).unwrap_or_default()
    });
    let keep = request.reserved_space.max(request.max_used_space);
    let keep_bytes = u64::try_from(keep).unwrap_or(0);
    Ok(berth_build::PruneRequest { all: request.all, keep_bytes, unused_since, filters })
}

/// A failure of the builder as clients of BuildKit hear it.
pub(super) fn failed(error: berth_build::Error) -> Status {
    let code = match error.kind() {
        Kind::Invalid => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::Forbidden => Code::PermissionDenied,
        Kind::Unauthorized => Code::Unauthenticated,
        Kind::Unavailable => Code::Unavailable,
        Kind::NotBuilt => Code::Unimplemented,
        _ => Code::Unknown,
    };
    Status::new(code, error.chain())
}

/// The identity of a step that the door itself takes.
pub(super) fn berth_build_id(reference: &str, name: &str) -> String {
    use sha2::Digest as _;
    format!("sha256:{}", berth_kit::id::hex(&sha2::Sha256::digest(format!("{reference} {name}"))))
}
