//! `Control.Solve`: from the request to the builder, and into the history.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bridge::Bridge;
use super::{Door, Running};
use crate::builder::Solve;
use crate::grpc::{Code, Status};
use crate::progress::Progress;
use crate::proto::control::{BuildHistoryRecord, Exporter, SolveRequest, SolveResponse};
use crate::proto::{RpcStatus, Timestamp, gateway};
use crate::question;
use crate::request::{Options, attribute_caches, caches, check_frontend, exports};

/// What a graph of BuildKit's own operations is answered with.
pub(super) fn no_graphs() -> Status {
    Status::new(
        Code::Unimplemented,
        "graphs of LLB operations are not there: this builder solves Dockerfiles (frontend dockerfile.v0)",
    )
}

pub(super) async fn solve(door: &Arc<Door>, request: SolveRequest) -> Result<SolveResponse, Status> {
    check(&request)?;
    let progress = Progress::default();
    let bridge = request.frontend.is_empty().then(|| Arc::new(Bridge::new(request.session.clone())));
    let mut registered =
        Registered::new(door, &request.reference, Running { progress: progress.clone(), bridge: bridge.clone() })?;
    let request = match &bridge {
        None => request,
        Some(bridge) => {
            let mut returned = bridge.returned().await?;
            match (returned.pop(), returned.is_empty()) {
                (Some(only), true) => joined(request, only),
                // A question was asked, and is answered.
                (None, _) => return Ok(SolveResponse::default()),
                (Some(_), false) => {
                    return Err(Status::new(Code::Unimplemented, "a build of several solves is not there"));
                }
            }
        }
    };
    registered.in_history = !request.internal;
    let outcome = recorded(door, &request, &progress).await;
    drop(registered);
    outcome.map(|exporter_response| SolveResponse { exporter_response })
}

/// The solve of the bridge with the exporters of the control.
fn joined(mut request: SolveRequest, inside: gateway::SolveRequest) -> SolveRequest {
    request.frontend = inside.frontend;
    request.frontend_attrs = inside.frontend_opt;
    if !inside.cache_imports.is_empty() {
        request.cache.get_or_insert_default().imports.extend(inside.cache_imports);
    }
    request
}

fn check(request: &SolveRequest) -> Result<(), Status> {
    if request.reference.is_empty() {
        return Err(Status::invalid("a solve needs a reference"));
    }
    if request.definition.as_ref().is_some_and(|definition| !definition.def.is_empty()) {
        return Err(no_graphs());
    }
    let absent = [
        ("frontend inputs", !request.frontend_inputs.is_empty()),
        ("a source policy", request.source_policy.as_ref().is_some_and(|policy| !policy.is_empty())),
        ("a session exporter", request.enable_session_exporter),
        ("a proxy network", request.proxy_network),
    ];
    match absent.iter().find(|(_, asked)| *asked) {
        Some((name, _)) => Err(Status::new(Code::Unimplemented, format!("{name} is not there"))),
        None if request.frontend.is_empty() => Ok(()),
        None => check_frontend(&request.frontend, &request.frontend_attrs),
    }
}

/// A build that can be found by its reference for as long as this lives.
struct Registered<'d> {
    door: &'d Door,
    reference: String,
    progress: Progress,
    /// Its status is told by the history once it ended.
    in_history: bool,
}

impl<'d> Registered<'d> {
    fn new(door: &'d Door, reference: &str, running: Running) -> Result<Self, Status> {
        let progress = running.progress.clone();
        let mut known = door.lock();
        if known.contains_key(reference) {
            return Err(Status::new(Code::AlreadyExists, format!("job ID {reference} exists")));
        }
        known.insert(reference.to_owned(), running);
        drop(known);
        door.began.notify_waiters();
        Ok(Self { door, reference: reference.to_owned(), progress, in_history: false })
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.progress.end();
        if !self.in_history {
            // Before it is no longer running: whoever asks finds it in one of both.
            self.door.remember(&self.reference, &self.progress);
        }
        self.door.lock().remove(&self.reference);
    }
}

/// Builds, with a record in the history from beginning to end, whichever end it is.
async fn recorded(
    door: &Arc<Door>,
    request: &SolveRequest,
    progress: &Progress,
) -> Result<BTreeMap<String, String>, Status> {
    let record = BuildHistoryRecord {
        reference: request.reference.clone(),
        frontend: request.frontend.clone(),
        frontend_attrs: shown(&request.frontend_attrs),
        exporters: exporters(request),
        created_at: Some(Timestamp::now()),
        // Unless it comes to an end of its own.
        error: Some(RpcStatus { code: Code::Cancelled as i32, message: "context canceled".to_owned() }),
        ..BuildHistoryRecord::default()
    };
    let mut kept = Kept { door: Arc::clone(door), record, progress: progress.clone(), internal: request.internal };
    if !kept.internal {
        door.history.begin(BuildHistoryRecord { error: None, ..kept.record.clone() }, progress);
    }
    let outcome = build(door, request, progress).await;
    match &outcome {
        Ok(response) => {
            kept.record.exporter_response = response.clone();
            kept.record.error = None;
        }
        Err(status) => {
            kept.record.error = Some(RpcStatus { code: status.code as i32, message: status.message.clone() });
        }
    }
    outcome
}

/// A record that ends even where the build is cancelled.
struct Kept {
    door: Arc<Door>,
    record: BuildHistoryRecord,
    progress: Progress,
    internal: bool,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.progress.end();
        if self.internal {
            return;
        }
        let count = self.progress.count();
        self.record.completed_at = Some(Timestamp::now());
        self.record.cached_steps = count.cached;
        self.record.total_steps = count.total;
        self.record.completed_steps = count.completed;
        self.record.warnings = count.warnings;
        if let Err(error) = self.door.history.end(self.record.clone(), &self.progress) {
            tracing::warn!(build = self.record.reference, %error, "a build's record was not kept");
        }
    }
}

/// What the history shows: secrets are no attributes, but build arguments may hold what is none of the history's business.
fn shown(attrs: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let proxy = |name: &str| {
        let name = name.strip_prefix("build-arg:");
        name.is_some_and(|name| berth_dockerfile::scope::PROXIES.contains(&name))
    };
    attrs.iter().filter(|(name, _)| !proxy(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The exporters, in the newer field or the older.
fn exporters(request: &SolveRequest) -> Vec<Exporter> {
    match request.exporters.is_empty() && !request.exporter_deprecated.is_empty() {
        true => vec![Exporter {
            kind: request.exporter_deprecated.clone(),
            attrs: request.exporter_attrs_deprecated.clone(),
        }],
        false => request.exporters.clone(),
    }
}

async fn build(
    door: &Arc<Door>,
    request: &SolveRequest,
    progress: &Progress,
) -> Result<BTreeMap<String, String>, Status> {
    let options = Options::parse(&request.frontend_attrs)?;
    let cache = request.cache.clone().unwrap_or_default();
    let mut cache_imports = caches(&cache.imports)?;
    for import in attribute_caches(&request.frontend_attrs)? {
        if !cache_imports.contains(&import) {
            cache_imports.push(import);
        }
    }
    let session = match request.session.as_str() {
        "" => None,
        id => Some(door.sessions.get(id).await?),
    };
    let policy = match request.source_policy_session.as_str() {
        "" => None,
        id => Some(door.sessions.get(id).await?),
    };
    let solve = Solve {
        policy,
        reference: request.reference.clone(),
        options,
        exports: exports(&exporters(request))?,
        cache_imports,
        cache_exports: caches(&cache.exports)?,
        entitlements: request.entitlements.clone(),
        session: session.clone(),
        sessions: Arc::clone(&door.sessions),
        contexts: door.contexts.clone(),
    };
    let gone = async {
        match &session {
            Some(session) => session.ended().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        outcome = door.builder.build(solve, progress.clone()) => outcome,
        () = gone => Err(Status::new(Code::Cancelled, "the client's session ended")),
    }
}

/// Answers a question about a Dockerfile instead of building it.
pub(super) async fn question(
    door: &Door,
    session: &str,
    options: &Options,
) -> Result<BTreeMap<String, Vec<u8>>, Status> {
    let session = door.sessions.get(session).await?;
    question::answer(&door.contexts, &session, &*door.builder, options).await
}
