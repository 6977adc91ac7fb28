//! The services of `/grpc`: Control, LLBBridge, Health.
//!
//! ```text
//! buildx: Control.Solve{ref, no frontend} ─┐ registers a Bridge, waits
//!         LLBBridge.Ping, Solve{dockerfile.v0, options} ─► options kept under a new id
//!         LLBBridge.Return{id} ───────────► wakes it: the build runs, with the exporters of Control.Solve
//! others: Control.Solve{ref, dockerfile.v0, options} ─► the build runs at once
//! all:    Control.Status{ref} ─► Progress from its beginning
//! ```

mod bridge;
mod record;
mod solve;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::builder::Builder;
use crate::grpc::{Call, Code, Service, Status};
use crate::history::History;
use crate::progress::Progress;
use crate::proto::control::{DiskUsageRequest, DiskUsageResponse, PruneRequest, StatusRequest};
use crate::proto::{Empty, HealthResponse};
use crate::session::{Contexts, Sessions};
use bridge::Bridge;

/// How long a status or a bridge waits for the solve it belongs to.
const PATIENCE: Duration = Duration::from_secs(5);
/// Ended builds without a record whose status can still be asked for.
const ENDED: usize = 16;

/// BuildKit's services over one builder.
pub struct Door {
    builder: Arc<dyn Builder>,
    sessions: Arc<Sessions>,
    contexts: Contexts,
    history: Arc<History>,
    running: Mutex<BTreeMap<String, Running>>,
    /// What the newest builds told that the history does not keep. Clients ask for the status beside the solve, and a
    /// question is often answered before its status is asked for.
    ended: Mutex<VecDeque<(String, Progress)>>,
    began: Notify,
}

/// A build that was asked for and has not ended.
#[derive(Clone)]
struct Running {
    progress: Progress,
    bridge: Option<Arc<Bridge>>,
}

impl Door {
    /// Keeps clients' folders and the history below `root`.
    ///
    /// # Errors
    /// When `root` cannot be made or read.
    pub fn open(root: &Path, builder: Arc<dyn Builder>) -> std::io::Result<Self> {
        Ok(Self {
            builder,
            sessions: Arc::default(),
            contexts: Contexts::open(&root.join("contexts"))?,
            history: Arc::new(History::open(&root.join("history"))?),
            running: Mutex::default(),
            ended: Mutex::default(),
            began: Notify::new(),
        })
    }

    /// The sessions, for `/session`.
    #[must_use]
    pub fn sessions(&self) -> &Arc<Sessions> {
        &self.sessions
    }

    /// The builds that were, for the engine's own clients.
    #[must_use]
    pub fn history(&self) -> &Arc<History> {
        &self.history
    }

    async fn answer(self: Arc<Self>, path: String, mut call: Call) {
        match path.as_str() {
            "/moby.buildkit.v1.Control/Solve" => {
                let outcome = match call.request().await {
                    Ok(request) => {
                        let work = solve::solve(&self, request);
                        call.unless_cancelled(work).await
                    }
                    Err(status) => Err(status),
                };
                call.reply(outcome).await;
            }
            "/moby.buildkit.v1.Control/Status" => {
                let outcome = self.status(&mut call).await;
                call.finish(outcome).await;
            }
            "/moby.buildkit.v1.Control/Session" => {
                // A session inside of a call, for clients that share one among builds.
                let headers = call.headers().clone();
                let (near, far) = tokio::io::duplex(1 << 16);
                let ((), served) = tokio::join!(call.carry(far), self.sessions.serve(&headers, near));
                if let Err(status) = served {
                    tracing::debug!(%status, "a session of a BuildKit client ended");
                }
            }
            "/moby.buildkit.v1.Control/Info" => call.reply(Ok(worker::info())).await,
            "/moby.buildkit.v1.Control/ListWorkers" => call.reply(Ok(worker::list(&*self.builder))).await,
            "/moby.buildkit.v1.Control/DiskUsage" => {
                let outcome = self.usage(&mut call).await;
                call.reply(outcome).await;
            }
            "/moby.buildkit.v1.Control/Prune" => {
                let outcome = self.prune(&mut call).await;
                call.finish(outcome).await;
            }
            "/moby.buildkit.v1.Control/ListenBuildHistory" => {
                let outcome = record::listen(&self, &mut call).await;
                call.finish(outcome).await;
            }
            "/moby.buildkit.v1.Control/UpdateBuildHistory" => {
                let outcome = record::update(&self, &mut call).await;
                call.reply(outcome).await;
            }
            "/grpc.health.v1.Health/Check" => call.reply(Ok(HealthResponse { status: 1 })).await,
            _ => match path.strip_prefix("/moby.buildkit.v1.frontend.LLBBridge/") {
                Some(method) => bridge::answer(&self, method, call).await,
                None => {
                    let message = format!("method {path} is not there");
                    call.reply::<Empty>(Err(Status::new(Code::Unimplemented, message))).await;
                }
            },
        }
    }

    async fn status(&self, call: &mut Call) -> Result<(), Status> {
        let request: StatusRequest = call.request().await?;
        let progress = self.progress_of(&request.reference).await?;
        let mut listener = progress.listen();
        while let Some(message) = listener.next().await {
            call.send(&*message).await?;
        }
        Ok(())
    }

    async fn usage(&self, call: &mut Call) -> Result<DiskUsageResponse, Status> {
        let request: DiskUsageRequest = call.request().await?;
        let mut record = self.builder.usage().await?;
        record.retain(|record| worker::matches(record, &request.filter));
        Ok(DiskUsageResponse { record })
    }

    async fn prune(&self, call: &mut Call) -> Result<(), Status> {
        let request: PruneRequest = call.request().await?;
        for record in self.builder.prune(request).await? {
            call.send(&record).await?;
        }
        Ok(())
    }

    /// The running build called `reference`.
    async fn running(&self, reference: &str) -> Result<Running, Status> {
        self.waited(reference, || self.lock().get(reference).cloned()).await
    }

    /// What the build called `reference` tells, or told.
    async fn progress_of(&self, reference: &str) -> Result<Progress, Status> {
        // A build goes to the one or the other before it is no longer running.
        let look = || {
            let running = self.lock().get(reference).map(|running| running.progress.clone());
            running.or_else(|| self.ended(reference)).or_else(|| self.past(reference))
        };
        self.waited(reference, look).await
    }

    fn ended(&self, reference: &str) -> Option<Progress> {
        let ended = self.ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        ended.iter().find(|(name, _)| name == reference).map(|(_, progress)| progress.clone())
    }

    fn past(&self, reference: &str) -> Option<Progress> {
        let told = self.history.told(reference);
        told.inspect_err(|error| tracing::warn!(build = reference, %error, "a build's record cannot be read")).ok()?
    }

    /// Keeps what a build told that the history knows nothing of.
    fn remember(&self, reference: &str, progress: &Progress) {
        let mut ended = self.ended.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if ended.len() >= ENDED {
            ended.pop_front();
        }
        ended.push_back((reference.to_owned(), progress.clone()));
    }

    /// Something of a build, waited for a little: clients ask for its status while they ask for it.
    async fn waited<T>(&self, reference: &str, look: impl Fn() -> Option<T>) -> Result<T, Status> {
        let wait = async {
            loop {
                let began = self.began.notified();
                tokio::pin!(began);
                began.as_mut().enable();
                if let Some(found) = look() {
                    return found;
                }
                began.await;
            }
        };
        let missing = || Status::new(Code::NotFound, format!("no such job {reference}"));
        tokio::time::timeout(PATIENCE, wait).await.map_err(|_| missing())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Running>> {
        self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Service for Door {
    fn call(self: Arc<Self>, path: String, call: Call) -> BoxFuture<'static, ()> {
        self.answer(path, call).boxed()
    }
}
