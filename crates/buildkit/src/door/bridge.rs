//! The frontend's bridge: how buildx asks for a build between the two ends of its `Control.Solve`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Door;
use crate::grpc::{Call, Code, Status};
use crate::proto::Empty;
use crate::proto::gateway::{ApiCap, PongResponse, Ref, Refs, ReturnRequest, SolveRequest, SolveResponse, SolveResult};
use crate::request::{Options, check_frontend};

/// The header that names the build a call belongs to.
const BUILD: &str = "buildkit-controlapi-buildid";
/// Solves that one bridge remembers.
const SOLVES: usize = 64;

/// What the bridge can do, as frontends ask for it.
const FRONTEND_CAPS: &[&str] = &[
    "solve.base",
    "solve.inlinereturn",
    "return",
    "returnmap",
    "proto.refarray",
    "reference.output",
    "frontend.caps",
    "frontend.inputs",
    "gateway.solve.metadata",
    "gateway.evaluate",
    "importcaches",
];

/// What the solver can do, as clients ask for it.
const LLB_CAPS: &[&str] = &[
    "source.local",
    "source.local.unique",
    "source.local.sessionid",
    "source.local.includepatterns",
    "source.local.followpaths",
    "source.local.excludepatterns",
    "source.local.sharedkeyhint",
    "source.git",
    "source.http",
    "exec.meta.base",
    "exec.meta.network",
    "exec.meta.security",
    "exec.mount.cache",
    "exec.mount.secret",
    "exec.mount.ssh",
    "exporter.multiple",
    "exporter.image.attestations",
    "source.policy.session",
    "platform",
    "constraints",
];

/// The bridge of one build.
pub(super) struct Bridge {
    /// The session of the `Control.Solve`.
    pub session: String,
    solves: Mutex<BTreeMap<String, SolveRequest>>,
    returned: watch::Sender<Option<Result<Vec<SolveRequest>, Status>>>,
}

impl Bridge {
    pub fn new(session: String) -> Self {
        Self { session, solves: Mutex::default(), returned: watch::Sender::new(None) }
    }

    /// Waits until the client has said which of its solves is the result: none for a question.
    pub async fn returned(&self) -> Result<Vec<SolveRequest>, Status> {
        let mut seen = self.returned.subscribe();
        let returned = seen.wait_for(Option::is_some).await.map_err(Status::gone)?;
        returned.clone().unwrap_or_else(|| Ok(Vec::new()))
    }

    fn keep(&self, request: SolveRequest) -> Result<String, Status> {
        let mut solves = self.lock();
        if solves.len() >= SOLVES {
            return Err(Status::new(Code::ResourceExhausted, format!("more than {SOLVES} solves in one build")));
        }
        let id = berth_kit::id::generate();
        solves.insert(id.clone(), request);
        Ok(id)
    }

    fn finish(&self, request: ReturnRequest) -> Result<Empty, Status> {
        let outcome = match request.error {
            Some(error) => Err(Status::new(Code::of(error.code), error.message)),
            None => {
                let ids = match request.result.and_then(|result| result.refs) {
                    Some(Refs::Deprecated(id)) => vec![id],
                    Some(Refs::One(one)) => vec![one.id],
                    Some(Refs::Many(many)) => many.refs.into_values().map(|one| one.id).collect(),
                    None => Vec::new(),
                };
                let solves = self.lock();
                let known = |id: &String| solves.get(id).cloned().ok_or_else(|| unknown_result(id));
                ids.iter().filter(|id| !id.is_empty()).map(known).collect()
            }
        };
        self.returned.send_replace(Some(outcome));
        Ok(Empty {})
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, SolveRequest>> {
        self.solves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unknown_result(id: &str) -> Status {
    Status::new(Code::NotFound, format!("no such ref {id}"))
}

pub(super) async fn answer(door: &Arc<Door>, method: &str, mut call: Call) {
    let bridge = match find(door, &call).await {
        Ok(bridge) => bridge,
        Err(status) => return call.reply::<Empty>(Err(status)).await,
    };
    match method {
        "Ping" => call.reply(Ok(pong(door))).await,
        "Solve" => {
            let outcome = match call.request().await {
                Ok(request) => solve(door, &bridge, request).await,
                Err(status) => Err(status),
            };
            call.reply(outcome).await;
        }
        "Return" => {
            let outcome = call.request().await.and_then(|request| bridge.finish(request));
            call.reply(outcome).await;
        }
        // The build runs when its result is returned; what fails then fails the solve.
        "Evaluate" | "Inputs" | "Warn" => call.reply(Ok(Empty {})).await,
        other => {
            let message = format!(
                "LLBBridge.{other} is not there: this builder reads Dockerfiles itself and runs no frontend images"
            );
            call.reply::<Empty>(Err(Status::new(Code::Unimplemented, message))).await;
        }
    }
}

async fn find(door: &Door, call: &Call) -> Result<Arc<Bridge>, Status> {
    let build = call.header(BUILD).ok_or_else(|| Status::invalid("no buildid found in context"))?;
    let running = door.running(build).await?;
    running.bridge.ok_or_else(|| Status::invalid(format!("build {build} has a frontend of its own")))
}

fn pong(door: &Door) -> PongResponse {
    let caps = |names: &[&str]| names.iter().map(|name| ApiCap { id: (*name).to_owned(), enabled: true }).collect();
    PongResponse {
        frontend_caps: caps(FRONTEND_CAPS),
        llb_caps: caps(LLB_CAPS),
        workers: super::worker::list(&*door.builder).record,
    }
}

async fn solve(door: &Door, bridge: &Bridge, request: SolveRequest) -> Result<SolveResponse, Status> {
    if request.definition.as_ref().is_some_and(|definition| !definition.def.is_empty()) {
        return Err(super::solve::no_graphs());
    }
    if !request.source_policies.is_empty() {
        return Err(Status::new(Code::Unimplemented, "source policies are not there"));
    }
    check_frontend(&request.frontend, &request.frontend_opt)?;
    let options = Options::parse(&request.frontend_opt)?;
    if options.question.is_some() {
        let metadata = super::solve::question(door, &bridge.session, &options).await?;
        let result = SolveResult { refs: Some(Refs::One(Ref::default())), metadata };
        return Ok(SolveResponse { reference: String::new(), result: Some(result) });
    }
    let id = bridge.keep(request)?;
    let result = SolveResult { refs: Some(Refs::One(Ref { id: id.clone() })), metadata: BTreeMap::new() };
    Ok(SolveResponse { reference: id, result: Some(result) })
}
