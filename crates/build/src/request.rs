//! What a build is asked for, whichever door it comes by.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use berth_remote::{Credentials, Policy};
use berth_spec::{Platform, Reference, model};
use futures_util::future::BoxFuture;
use tokio::net::UnixStream;

use crate::{Attest, CacheFrom, CacheTo};

/// One build.
#[derive(Clone)]
pub struct Request {
    /// Its name in the history; made up when empty.
    pub reference: String,
    /// The text of the Dockerfile.
    pub dockerfile: Vec<u8>,
    /// What the Dockerfile is called in messages.
    pub dockerfile_name: String,
    /// The files of the build.
    pub context: Source,
    /// `--build-context`.
    pub contexts: BTreeMap<String, Source>,
    /// `--build-arg`.
    pub args: BTreeMap<String, String>,
    /// `--target`.
    pub target: Option<String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--tag`: names of the image.
    pub tags: Vec<String>,
    /// One image for each; the host's own when empty.
    pub platforms: Vec<Platform>,
    /// What does not come from the cache.
    pub no_cache: NoCache,
    /// Base images are asked for at their registry.
    pub pull: bool,
    /// `--cache-from`: whose steps may be taken.
    pub cache_from: Vec<CacheFrom>,
    /// `--cache-to`: who gets the steps of this build.
    pub cache_to: Vec<CacheTo>,
    /// `--attest`.
    pub attest: Vec<Attest>,
    /// The image goes to the registry of each of its names.
    pub push: bool,
    /// What is pushed is an index, whatever is in it.
    pub always_index: bool,
    /// `default`, `none` or `host`; the default of steps.
    pub network: Option<String>,
    /// `name:address`.
    pub add_hosts: Vec<String>,
    /// `--shm-size`, in bytes.
    pub shm_bytes: Option<i64>,
    /// `--ulimit`.
    pub ulimits: Vec<model::ResourcesUlimits>,
    /// `--cgroup-parent`.
    pub cgroup_parent: Option<String>,
    /// `--memory`, in bytes.
    pub memory_bytes: Option<i64>,
    /// `--memory-swap`, in bytes.
    pub memory_swap_bytes: Option<i64>,
    /// `--cpu-shares`.
    pub cpu_shares: Option<i64>,
    /// `--cpu-period`, in microseconds.
    pub cpu_period_us: Option<i64>,
    /// `--cpu-quota`, in microseconds.
    pub cpu_quota_us: Option<i64>,
    /// `--cpuset-cpus`.
    pub cpuset_cpus: Option<String>,
    /// `--cpuset-mems`.
    pub cpuset_mems: Option<String>,
    /// `--isolation`, `--security-opt`.
    pub security_options: Vec<String>,
    /// Rights beyond those of every step.
    pub allowed: Allowed,
    /// The Dockerfile is judged and nothing is built.
    pub check_only: bool,
    /// How registries may be spoken to.
    pub policy: Policy,
    /// The side that asked: credentials, secrets, agents.
    pub client: Arc<dyn Client>,
}

impl Request {
    /// A build of this Dockerfile with nothing else said.
    #[must_use]
    pub fn new(dockerfile: Vec<u8>, context: Source) -> Self {
        Self {
            reference: String::new(),
            dockerfile,
            dockerfile_name: "Dockerfile".to_owned(),
            context,
            contexts: BTreeMap::new(),
            args: BTreeMap::new(),
            target: None,
            labels: BTreeMap::new(),
            tags: Vec::new(),
            platforms: Vec::new(),
            no_cache: NoCache::Nothing,
            pull: false,
            cache_from: Vec::new(),
            cache_to: Vec::new(),
            attest: Vec::new(),
            push: false,
            always_index: false,
            network: None,
            add_hosts: Vec::new(),
            shm_bytes: None,
            ulimits: Vec::new(),
            cgroup_parent: None,
            memory_bytes: None,
            memory_swap_bytes: None,
            cpu_shares: None,
            cpu_period_us: None,
            cpu_quota_us: None,
            cpuset_cpus: None,
            cpuset_mems: None,
            security_options: Vec::new(),
            allowed: Allowed::default(),
            check_only: false,
            policy: Policy::default(),
            client: Arc::new(NoClient),
        }
    }
}

/// Where files come from.
#[derive(Clone)]
pub enum Source {
    /// There are none.
    Nothing,
    /// A folder, brought here when the first step needs it.
    Folder(Arc<dyn ContextSource>),
    /// An image, by its name; named contexts alone.
    Image(String),
    /// A repository, or an archive at an address.
    Remote(String),
}

/// A folder that somebody brings here.
pub trait ContextSource: Send + Sync {
    /// Brings it. Called once a build, and only when a step needs it.
    fn open(&self) -> BoxFuture<'_, std::result::Result<Folder, String>>;
}

/// A folder that is here.
#[derive(Clone)]
pub struct Folder {
    /// Where. Nobody but the engine may write to it or above it while the build runs.
    pub path: PathBuf,
    /// What keeps it there: dropped after the last use.
    pub guard: Arc<dyn std::any::Any + Send + Sync>,
}

impl Folder {
    /// A file of it, links followed with the folder as `/`.
    ///
    /// # Errors
    /// [`crate::Error::Missing`] when it is not there, [`crate::Error::Invalid`] for one that is too large to be a
    /// Dockerfile.
    pub fn read(&self, name: &str) -> crate::Result<Vec<u8>> {
        let tree = crate::tree::Tree::open(&self.path, None)?;
        let missing = |_| crate::Error::Missing(format!("Cannot locate specified Dockerfile: {name}"));
        let file = crate::tree::open_file(tree.root(), name).map_err(missing)?;
        let limit = berth_dockerfile::limit::FILE_BYTES as u64;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, limit + 1), &mut bytes)
            .map_err(crate::Error::file("read", name))?;
        if bytes.len() as u64 > limit {
            return Err(crate::Error::Invalid(format!("{name} is larger than {limit} bytes")));
        }
        Ok(bytes)
    }
}

/// What does not come from the cache.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NoCache {
    /// Everything may.
    #[default]
    Nothing,
    /// Nothing may.
    All,
    /// Nothing of these stages.
    Stages(Vec<String>),
}

/// Rights that a client may give to its build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowed {
    /// `RUN --network=host`.
    pub host_network: bool,
    /// `RUN --security=insecure`.
    pub insecure: bool,
    /// `RUN --device`.
    pub device: bool,
}

/// The side that asked for a build.
pub trait Client: Send + Sync {
    /// Its credentials for the registry of an image.
    fn credentials<'a>(&'a self, image: &'a Reference) -> BoxFuture<'a, Option<Credentials>>;

    /// A secret; none when it has none of this name.
    fn secret<'a>(&'a self, id: &'a str) -> BoxFuture<'a, std::result::Result<Option<Vec<u8>>, String>>;

    /// Whether it offers an SSH agent of this name.
    fn has_ssh<'a>(&'a self, id: &'a str) -> BoxFuture<'a, bool>;

    /// Joins one connection with the agent, until either side ends it.
    fn ssh(&self, id: String, connection: UnixStream) -> BoxFuture<'static, std::result::Result<(), String>>;
}

/// A client that has nothing.
pub struct NoClient;

impl Client for NoClient {
    fn credentials<'a>(&'a self, _: &'a Reference) -> BoxFuture<'a, Option<Credentials>> {
        Box::pin(async { None })
    }

    fn secret<'a>(&'a self, _: &'a str) -> BoxFuture<'a, std::result::Result<Option<Vec<u8>>, String>> {
        Box::pin(async { Ok(None) })
    }

    fn has_ssh<'a>(&'a self, _: &'a str) -> BoxFuture<'a, bool> {
        Box::pin(async { false })
    }

    fn ssh(&self, id: String, _: UnixStream) -> BoxFuture<'static, std::result::Result<(), String>> {
        Box::pin(async move { Err(format!("no SSH agent {id}")) })
    }
}
