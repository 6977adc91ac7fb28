//! One stage: its base, then its instructions in their order.

mod base;
mod cached;
mod files;
mod instruction;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
};

use berth_dockerfile::{
    Dockerfile, Ignore, Instruction,
    scope::{Globals, Platforms},
};
use berth_kit::time::Timestamp;
use berth_spec::{Digest, Platform};
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use crate::{
    Error, Request, Result,
    attest::Material,
    builder::Shared,
    cache::LayerRef,
    event::{Teller, Vertex},
    exchange::Imports,
    plan::{self, Origin},
    state::State,
    tree::Tree,
};

/// One build for one platform.
pub(crate) struct Solve {
    pub shared: Arc<Shared>,
    pub request: Arc<Request>,
    pub file: Arc<Dockerfile>,
    pub globals: Globals,
    pub platforms: Platforms,
    pub teller: Teller,
    /// `SOURCE_DATE_EPOCH`, in seconds.
    pub epoch: Option<i64>,
    pub stages: Vec<OnceCell<Arc<State>>>,
    /// Trees by where they come from; shared by the platforms' own builds of one request where it is a context.
    pub trees: Mutex<BTreeMap<String, Arc<OnceCell<Arc<Tree>>>>>,
    pub ignore: OnceLock<Ignore>,
    /// Keys that were taken from the cache.
    pub used: Mutex<Vec<String>>,
    /// Caches of others.
    pub imports: Arc<Imports>,
    /// What came from elsewhere.
    pub materials: Mutex<std::collections::BTreeSet<Material>>,
}

/// An instruction of a running build.
pub(crate) struct Step {
    /// The vertex.
    pub id: String,
    /// `[builder 2/5] RUN make`.
    pub name: String,
    pub stage: usize,
    /// Its number in the stage, the base being 1.
    pub number: usize,
    pub line: u32,
    pub text: String,
    pub started: Timestamp,
}

/// What a step came to.
pub(crate) struct Outcome {
    pub layer: Option<LayerRef>,
    pub cached: bool,
    pub reason: String,
    pub stamp: String,
    pub key: String,
    pub created: Timestamp,
}

impl Step {
    /// An error at this step's line.
    pub fn fails(&self, request: &Request, message: impl Into<String>) -> Error {
        plan::at(request, self.line, message)
    }

    fn vertex(&self) -> Vertex {
        Vertex {
            id: self.id.clone(),
            name: self.name.clone(),
            text: self.text.clone(),
            started: Some(self.started),
            line: self.line,
            ..Vertex::default()
        }
    }
}

impl Solve {
    /// What a name means in a stage.
    pub fn origin(&self, name: &str, stage: usize) -> Origin {
        plan::origin(&self.file, &self.request, name, stage)
    }

    /// The stage, solved once whoever asks.
    pub fn stage(self: &Arc<Self>, index: usize) -> BoxFuture<'_, Result<Arc<State>>> {
        Box::pin(async move {
            let cell = &self.stages[index];
            cell.get_or_try_init(|| async move { self.solve_stage(index).await.map(Arc::new) }).await.map(Arc::clone)
        })
    }

    async fn solve_stage(self: &Arc<Self>, index: usize) -> Result<State> {
        let stage = &self.file.stages[index];
        let step = self.step(index, 1, &stage.from.text, stage.from.span.start.line);
        let platform = match &stage.from.platform {
            None => self.platforms.target.clone(),
            Some(word) => {
                let text = self.globals.expand(word).map_err(|fault| plan::faulty(&self.request, &fault))?.value;
                Platform::parse(&text).map_err(|error| step.fails(&self.request, error.to_string()))?
            }
        };
        let origin = plan::base(&self.file, &self.request, &self.globals, stage)?;
        self.teller.vertex(&step.vertex()).await;
        let based = self.base(&origin, &platform, &step).await;
        let mut state =
            self.ended(&step, based, |state| (true, None, state.top.as_ref().map(Digest::to_string))).await?;
        let mut number = 1;
        for trigger in state.config.config.on_build.take().unwrap_or_default() {
            let instruction =
                berth_dockerfile::parse_trigger(&trigger).map_err(|fault| step.fails(&self.request, fault.message))?;
            let text = format!("ONBUILD {}", instruction.text);
            let step = Step {
                name: format!("[onbuild] {}", instruction.text),
                text,
                ..self.step(index, 0, &trigger, step.line)
            };
            self.walk(&mut state, step, &instruction).await?;
        }
        for instruction in &stage.instructions {
            number += 1;
            let step = self.step(index, number, &instruction.text, instruction.span.start.line);
            self.walk(&mut state, step, instruction).await?;
        }
        Ok(state)
    }

    /// The vertex of an instruction; the same for everybody who computes it.
    pub fn step(&self, stage: usize, number: usize, text: &str, line: u32) -> Step {
        let from = &self.file.stages[stage];
        let name = from.from.name.as_ref().map_or_else(|| format!("stage-{stage}"), |name| name.value.clone());
        let total = from.instructions.len() + 1;
        let identity = format!("{} {} {stage} {number} {text}", self.request.reference, self.platforms.target);
        Step {
            id: berth_archive::hash::digest(identity.as_bytes()).to_string(),
            name: format!("[{name} {number}/{total}] {text}"),
            stage,
            number,
            line,
            text: text.to_owned(),
            started: Timestamp::now(),
        }
    }

    /// Announces the steps of a stage before they run.
    pub async fn announce(&self, stage: usize) {
        let from = &self.file.stages[stage];
        let first = self.step(stage, 1, &from.from.text, from.from.span.start.line);
        self.teller.vertex(&Vertex { started: None, ..first.vertex() }).await;
        for (number, instruction) in from.instructions.iter().enumerate() {
            let step = self.step(stage, number + 2, &instruction.text, instruction.span.start.line);
            self.teller.vertex(&Vertex { started: None, ..step.vertex() }).await;
        }
    }

    /// Tells how a step ended.
    async fn ended<T>(
        &self,
        step: &Step,
        outcome: Result<T>,
        about: impl FnOnce(&T) -> (bool, Option<String>, Option<String>),
    ) -> Result<T> {
        let mut vertex = Vertex { completed: Some(Timestamp::now()), ..step.vertex() };
        match &outcome {
            Ok(value) => (vertex.cached, vertex.reason, vertex.result) = about(value),
            Err(error) => vertex.error = Some(error.chain()),
        }
        self.teller.vertex(&vertex).await;
        outcome
    }

    fn epoch_stamp(&self) -> String {
        self.stamp(Timestamp::UNIX_EPOCH)
    }

    /// A time for the image: the build's own where it was given one.
    pub fn stamp(&self, at: Timestamp) -> String {
        let fixed = self.epoch.and_then(|epoch| Timestamp::from_second(epoch).ok());
        berth_kit::time::format_nano(fixed.unwrap_or(at))
    }

    async fn walk(self: &Arc<Self>, state: &mut State, step: Step, instruction: &Instruction) -> Result<()> {
        self.teller.vertex(&step.vertex()).await;
        let outcome = self.apply(state, &step, instruction).await;
        let about = |outcome: &Option<Outcome>| match outcome {
            Some(outcome) => {
                let layer = outcome.layer.as_ref().map(|layer| layer.chain_id.to_string());
                (outcome.cached, Some(outcome.reason.clone()), layer)
            }
            None => (false, None, None),
        };
        self.ended(&step, outcome, about).await.map(drop)
    }
}
