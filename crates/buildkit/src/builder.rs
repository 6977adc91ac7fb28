//! What the door asks of the builder behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::grpc::Status;
use crate::progress::Progress;
use crate::proto::control::{PruneRequest, UsageRecord};
use crate::request::{Cache, Export, Options};
use crate::session::{Contexts, Session, Sessions};

/// One build.
pub struct Solve {
    /// Its name, given by the client.
    pub reference: String,
    /// What is built.
    pub options: Options,
    /// What the result becomes; nothing when empty: then it is built and kept in the cache.
    pub exports: Vec<Export>,
    /// Caches to read.
    pub cache_imports: Vec<Cache>,
    /// Caches to write.
    pub cache_exports: Vec<Cache>,
    /// `network.host`, `security.insecure`, `device`: what the client allows.
    pub entitlements: Vec<String>,
    /// The client's side.
    pub session: Option<Arc<Session>>,
    /// The client's policy: [`Session::allows`] is asked before a source is used.
    pub policy: Option<Arc<Session>>,
    /// Other sessions, by id: contexts may have their own.
    pub sessions: Arc<Sessions>,
    /// Where folders of clients are kept.
    pub contexts: Contexts,
}

/// A builder. Dropping the future of a build cancels it.
pub trait Builder: Send + Sync + 'static {
    /// Builds. Gives what clients are told of the result, such as `containerimage.digest`.
    fn build(&self, solve: Solve, progress: Progress) -> BoxFuture<'_, Result<BTreeMap<String, String>, Status>>;

    /// The environment of an image, for checks; none when it is not here.
    fn image_env<'a>(&'a self, reference: &'a str) -> BoxFuture<'a, Option<Vec<String>>>;

    /// What the cache holds.
    fn usage(&self) -> BoxFuture<'_, Result<Vec<UsageRecord>, Status>>;

    /// Frees what the request allows. Gives what went.
    fn prune(&self, request: PruneRequest) -> BoxFuture<'_, Result<Vec<UsageRecord>, Status>>;

    /// The platforms that can be built, as `linux/amd64`.
    fn platforms(&self) -> Vec<String>;

    /// The address that `host-gateway` means, where there is one.
    fn host_gateway(&self) -> Option<String>;
}
