//! One stage: its base, then its instructions in their order.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use berth_dockerfile::{
    Command, Dockerfile, Ignore, Instruction, Scope,
    scope::{Globals, Platforms},
};
use berth_image::PullRequest;
use berth_kit::time::Timestamp;
use berth_spec::{Digest, Platform, Reference};
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;

use crate::{
    Error, NoCache, Request, Result, Source,
    attest::Material,
    builder::Shared,
    cache::{Entry, Key, LayerRef},
    context::blocking,
    event::{Teller, Vertex},
    exchange::{Imports, Walked},
    explain,
    fetch::{Asker, RemoteContext},
    layer::{Scratch, rebase},
    plan::{self, Origin},
    run,
    state::{State, shown_pairs},
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

    async fn base(self: &Arc<Self>, origin: &Origin, platform: &Platform, step: &Step) -> Result<State> {
        let stamp = self.stamp(Timestamp::now());
        match origin {
            Origin::Nothing => {
                let path = format!("PATH={}", crate::state::PATH);
                Ok(State::blank(Scope::stage(&self.globals, &[path]), platform, self.epoch_stamp()))
            }
            Origin::Stage(index) => {
                let below = self.stage(*index).await?;
                let mut state = State::clone(&below);
                state.scope = below.scope.child();
                state.has_cmd = false;
                Ok(state)
            }
            Origin::Image(name) => self.image(name, platform, step).await,
            Origin::Context(name) => match self.request.contexts.get(name) {
                Some(Source::Image(image)) => self.image(image, platform, step).await,
                Some(Source::Folder(_) | Source::Remote(_)) => self.of_folder(origin, platform, stamp).await,
                _ => Err(Error::Missing(format!("context {name} has no files"))),
            },
            Origin::Main => Err(Error::Invalid("a stage cannot start from the context".to_owned())),
        }
    }

    /// `FROM` a named context that is a folder: its files become the first layer.
    async fn of_folder(self: &Arc<Self>, origin: &Origin, platform: &Platform, stamp: String) -> Result<State> {
        let tree = self.tree(origin).await?;
        let solve = Arc::clone(self);
        let layer = blocking(move || {
            let scratch = Scratch::create(&solve.shared.snapshots, None)?;
            let root = Tree::new(scratch.mount(false)?, None, None);
            let options = crate::copy::CopyOptions { epoch: solve.epoch, ..Default::default() };
            for found in crate::select::select(tree.root(), "/", crate::select::Filter::default())? {
                crate::copy::copy(root.root(), &found, "/", true, &options)?;
            }
            drop(root);
            scratch.seal(&solve.shared.images, None, solve.epoch)
        })
        .await?;
        let path = format!("PATH={}", crate::state::PATH);
        let mut state = State::blank(Scope::stage(&self.globals, &[path]), platform, stamp.clone());
        state.add_layer(layer.as_ref().map(LayerRef::of).as_ref(), stamp, "FROM context".to_owned());
        Ok(state)
    }

    async fn image(self: &Arc<Self>, name: &str, platform: &Platform, step: &Step) -> Result<State> {
        let images = &self.shared.images;
        let local = if self.request.pull { None } else { images.resolve(name).await.ok() };
        let fits = |image: &berth_image::Image| {
            let own = Platform::of_config(&image.config);
            own.architecture.is_empty() || (own.os == platform.os && own.architecture == platform.architecture)
        };
        let image = match local.filter(fits) {
            Some(image) => image,
            None => {
                let reference = Reference::parse(name).map_err(|error| step.fails(&self.request, error.to_string()))?;
                let reference = reference.with_default_tag();
                let credentials = self.request.client.credentials(&reference).await;
                let policy = self.request.policy.clone();
                self.teller.status(&step.id, &format!("resolve {}", reference.familiar()), 0, 0, false).await;
                let wanted = PullRequest { reference, platform: Some(platform.clone()), credentials, policy };
                let id = images.pull(wanted, None).await.map_err(|error| match error {
                    berth_image::Error::Missing(_) => Error::Missing(format!("{name}: not found")),
                    other => other.into(),
                })?;
                images.resolve(id.as_str()).await?
            }
        };
        let known = Reference::parse(name).ok().map(Reference::with_default_tag);
        let known = known.map_or_else(
            || name.to_owned(),
            |known| format!("{}@{}", known.familiar_name(), known.tag().unwrap_or("latest")),
        );
        let platform = platform.to_string().replace('/', "%2F");
        self.note_material(format!("pkg:docker/{known}?platform={platform}"), "sha256", image.id.hex());
        let env = image.config.config.env.clone().unwrap_or_default();
        let top = image.top.as_deref().and_then(|top| Digest::parse(top).ok());
        let stamp = image.config.created.clone().unwrap_or_else(|| self.epoch_stamp());
        Ok(State::of_image(Scope::stage(&self.globals, &env), image.config, top, stamp))
    }

    /// The files of an origin.
    pub async fn tree(self: &Arc<Self>, origin: &Origin) -> Result<Arc<Tree>> {
        let name = format!("{origin:?}");
        let cell = Arc::clone(self.trees.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default());
        cell.get_or_try_init(|| self.open_tree(origin)).await.map(Arc::clone)
    }

    async fn open_tree(self: &Arc<Self>, origin: &Origin) -> Result<Arc<Tree>> {
        let source = match origin {
            Origin::Main => Some(&self.request.context),
            Origin::Context(name) => self.request.contexts.get(name),
            _ => None,
        };
        let image = match (source, origin) {
            (Some(Source::Folder(folder)), _) => {
                let folder = folder.open().await.map_err(Error::Invalid)?;
                let tree = Tree::open(&folder.path, Some(folder.guard))?;
                if *origin == Origin::Main
                    && let Some(ignore) = read_ignore(&tree, &self.request.dockerfile_name)?
                {
                    let _ = self.ignore.set(ignore);
                }
                return Ok(Arc::new(tree));
            }
            (Some(Source::Remote(address)), _) => return self.remote_tree(address).await.map(Arc::new),
            (Some(Source::Image(name)), _) => name.clone(),
            (_, Origin::Image(name)) => name.clone(),
            (_, Origin::Stage(index)) => {
                let state = self.stage(*index).await?;
                return self.layers(state.top.clone()).await;
            }
            (_, Origin::Nothing) => return self.layers(None).await,
            _ => return Err(Error::Invalid("this build has no context".to_owned())),
        };
        let step = self.step(0, 0, &image, 0);
        let state = self.image(&image, &self.platforms.target, &step).await?;
        self.layers(state.top).await
    }

    /// Notes something that came from elsewhere.
    pub fn note_material(&self, uri: String, algorithm: &'static str, digest: &str) {
        let material = Material { uri, algorithm, digest: digest.to_owned() };
        self.materials.lock().unwrap_or_else(PoisonError::into_inner).insert(material);
    }

    async fn remote_tree(&self, address: &str) -> Result<Tree> {
        let asker = Asker { shared: &self.shared, policy: &self.request.policy, client: &self.request.client };
        match asker.context(address).await? {
            RemoteContext::Folder(folder) => Tree::open(&folder.path, Some(folder.guard)),
            RemoteContext::Dockerfile(_) => Err(Error::Invalid(format!("{address} is no archive and no repository"))),
        }
    }

    /// A read-only view of layers.
    async fn layers(self: &Arc<Self>, top: Option<Digest>) -> Result<Arc<Tree>> {
        let snapshots = Arc::clone(&self.shared.snapshots);
        blocking(move || {
            let scratch = Scratch::create(&snapshots, top.as_ref())?;
            let root = scratch.mount(true)?;
            let memo = top.as_ref().map_or_else(|| "scratch".to_owned(), Digest::to_string);
            Ok(Arc::new(Tree::new(root, Some(memo), Some(Arc::new(scratch)))))
        })
        .await
    }

    /// The ignore file, where it holds for this tree: the context's own alone.
    pub fn ignore_of(&self, tree: &Tree) -> Option<&Ignore> {
        if tree.memo.is_some() { None } else { self.ignore.get() }
    }

    fn epoch_stamp(&self) -> String {
        self.stamp(Timestamp::UNIX_EPOCH)
    }

    /// A time for the image: the build's own where it was given one.
    pub fn stamp(&self, at: Timestamp) -> String {
        let fixed = self.epoch.and_then(|epoch| Timestamp::from_second(epoch).ok());
        berth_kit::time::format_nano(fixed.unwrap_or(at))
    }

    /// Whether the steps of a stage may come from the cache.
    fn may_cache(&self, stage: usize) -> bool {
        let from = &self.file.stages[stage].from;
        match &self.request.no_cache {
            NoCache::Nothing => true,
            NoCache::All => false,
            NoCache::Stages(names) => {
                let own = from.name.as_ref().map(|name| name.value.as_str());
                let number = stage.to_string();
                !names.iter().any(|name| own.is_some_and(|own| own.eq_ignore_ascii_case(name)) || *name == number)
            }
        }
    }

    /// A step that makes a layer: looked up by its key, else made by `make`.
    pub async fn layer_step<F>(
        self: &Arc<Self>,
        state: &State,
        step: &Step,
        key: Key,
        linked: bool,
        uncached: bool,
        make: impl FnOnce() -> F,
    ) -> Result<Outcome>
    where
        F: Future<Output = Result<Scratch>>,
    {
        let digest = key.digest();
        let below = if linked { None } else { state.top.clone() };
        let slot = format!("{} {} {}", self.request.dockerfile_name, step.stage, step.number);
        let mut reason = explain::miss(&self.shared.cache, &slot, &key);
        if uncached || !self.may_cache(step.stage) {
            reason = if uncached { "its comment says no-cache" } else { "asked for with --no-cache" }.to_owned();
        } else if let Some(entry) = self.known(&digest) {
            let reason = explain::hit(&entry, key.parts().len());
            let layer = self.put_on(state, entry.layer.clone(), linked).await?;
            self.used.lock().unwrap_or_else(PoisonError::into_inner).push(digest.clone());
            let created = entry.created;
            return Ok(Outcome { layer, cached: true, reason, stamp: self.stamp(created), key: digest, created });
        } else if let Some((entry, reason)) = self.brought(step, &key, below.as_ref(), state, &slot).await? {
            let layer = self.put_on(state, entry.layer.clone(), linked).await?;
            let created = entry.created;
            return Ok(Outcome { layer, cached: true, reason, stamp: self.stamp(created), key: digest, created });
        }
        let scratch = make().await?;
        let (images, epoch) = (self.shared.images.clone(), self.epoch);
        let layer = blocking(move || scratch.seal(&images, below.as_ref(), epoch)).await?;
        let now = Timestamp::now();
        let entry = Entry {
            key: digest.clone(),
            slot,
            text: step.text.clone(),
            parent: state.key.clone(),
            layer: layer.as_ref().map(LayerRef::of),
            created: now,
            last_used: now,
            uses: 0,
            kind: "regular".to_owned(),
        };
        let made = entry.layer.clone();
        self.shared.cache.put(entry, &key)?;
        let layer = self.put_on(state, made, linked).await?;
        Ok(Outcome { layer, cached: false, reason, stamp: self.stamp(now), key: digest, created: now })
    }

    /// The step from somebody else's cache. One that cannot be brought is made.
    async fn brought(
        &self,
        step: &Step,
        key: &Key,
        below: Option<&Digest>,
        state: &State,
        slot: &str,
    ) -> Result<Option<(Entry, String)>> {
        let digest = key.digest();
        let Some(known) = self.imports.get(&digest) else { return Ok(None) };
        let layer = match known.bring(&self.shared, below).await {
            Ok(layer) => layer,
            Err(error) => {
                let text = format!("the cache of {} is not used: {}\n", known.from, error.chain());
                self.teller.log(&step.id, 2, text.as_bytes()).await;
                return Ok(None);
            }
        };
        let entry = Entry {
            key: digest,
            slot: slot.to_owned(),
            text: step.text.clone(),
            parent: state.key.clone(),
            layer: layer.as_ref().map(LayerRef::of),
            created: known.created,
            last_used: Timestamp::now(),
            uses: 1,
            kind: "regular".to_owned(),
        };
        self.shared.cache.put(entry.clone(), key)?;
        Ok(Some((entry, known.reason())))
    }

    /// The entry of a key whose layer is still here.
    fn known(&self, key: &str) -> Option<Entry> {
        let entry = self.shared.cache.take(key)?;
        match &entry.layer {
            Some(layer) if self.shared.images.layer(&layer.chain_id).is_none() => None,
            _ => Some(entry),
        }
    }

    /// A layer that knows nothing of those below is put on them.
    async fn put_on(&self, state: &State, layer: Option<LayerRef>, linked: bool) -> Result<Option<LayerRef>> {
        let layer = match layer {
            Some(layer) if linked => layer,
            other => return Ok(other),
        };
        let (images, snapshots, top) =
            (self.shared.images.clone(), Arc::clone(&self.shared.snapshots), state.top.clone());
        blocking(move || {
            let own = images.layer(&layer.chain_id).ok_or(Error::Cancelled)?;
            rebase(&images, &snapshots, &own, top.as_ref()).map(|layer| Some(LayerRef::of(&layer)))
        })
        .await
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

    /// An instruction; gives what became of a layer where it makes one.
    async fn apply(
        self: &Arc<Self>,
        state: &mut State,
        step: &Step,
        instruction: &Instruction,
    ) -> Result<Option<Outcome>> {
        let uncached = instruction.comments.iter().any(|comment| is_opt_out(comment));
        let (outcome, text) = match &instruction.command {
            Command::Run(run) => {
                let command = run::Command::read(self, state, step, run).await?;
                let key = command.key(self, state).await?;
                let text = format!("{} # berth", command.shown);
                let outcome =
                    self.layer_step(state, step, key, false, uncached, || command.run(self, state, step)).await?;
                (outcome, text)
            }
            Command::Copy(copy) => {
                (self.copy(state, step, copy, uncached).await?, format!("{} # berth", instruction.text))
            }
            Command::Add(add) => (self.add(state, step, add, uncached).await?, format!("{} # berth", instruction.text)),
            Command::Workdir(path) => {
                let path = self.expand(state, path)?;
                state.set_workdir(&path);
                (self.workdir(state, step).await?, format!("WORKDIR {path}"))
            }
            _ => {
                self.words(state, step, instruction)?;
                return Ok(None);
            }
        };
        let parent = state.key.replace(outcome.key.clone());
        let (key, layer, created) = (outcome.key.clone(), outcome.layer.clone(), outcome.created);
        state.lineage.push(Walked { key, parent, layer, created });
        state.add_layer(outcome.layer.as_ref(), outcome.stamp.clone(), text);
        Ok(Some(outcome))
    }

    async fn workdir(self: &Arc<Self>, state: &State, step: &Step) -> Result<Outcome> {
        let mut key = Key::default();
        key.text("command", &format!("WORKDIR {}", state.workdir()));
        key.text("below", state.top.as_ref().map_or("", Digest::as_str));
        key.text("epoch", &format!("{:?}", self.epoch));
        let (snapshots, top, path) =
            (Arc::clone(&self.shared.snapshots), state.top.clone(), state.workdir().to_owned());
        let make = || {
            blocking(move || {
                let scratch = Scratch::create(&snapshots, top.as_ref())?;
                let root = Tree::new(scratch.mount(false)?, None, None);
                crate::place::ensure_directory(root.root(), &path, (0, 0))?;
                drop(root);
                Ok(scratch)
            })
        };
        self.layer_step(state, step, key, false, false, make).await
    }

    /// Expands a word, and says where it failed.
    pub fn expand(&self, state: &State, word: &berth_dockerfile::Spanned<String>) -> Result<String> {
        state.scope.expand(word).map_err(|fault| plan::faulty(&self.request, &fault))
    }

    /// Instructions that change the configuration alone.
    fn words(&self, state: &mut State, step: &Step, instruction: &Instruction) -> Result<()> {
        let faulty = |fault: berth_dockerfile::Diagnostic| plan::faulty(&self.request, &fault);
        let mut text = instruction.text.clone();
        match &instruction.command {
            Command::Arg(args) => {
                for arg in args {
                    state.scope.declare(arg).map_err(faulty)?;
                }
            }
            Command::Env(pairs) => {
                let set = state.scope.set_env(pairs).map_err(faulty)?;
                state.set_env();
                text = shown_pairs("ENV", &set);
            }
            Command::Label(pairs) => {
                let set = state.scope.pairs(pairs, "LABEL").map_err(faulty)?;
                text = shown_pairs("LABEL", &set);
                state.set_labels(set);
            }
            Command::Cmd(form) => state.set_cmd(form),
            Command::Entrypoint(form) => state.set_entrypoint(form),
            Command::Expose(words) => {
                for word in words {
                    for port in state.scope.expand_words(word).map_err(faulty)? {
                        state.expose(&port).map_err(|reason| step.fails(&self.request, reason))?;
                    }
                }
            }
            Command::Healthcheck(health) => state.set_health(health),
            Command::Maintainer(author) => state.author = Some(self.expand(state, author)?),
            Command::Onbuild(onbuild) => {
                state.config.config.on_build.get_or_insert_with(Vec::new).push(onbuild.trigger.clone());
            }
            Command::Shell(words) => state.config.config.shell = Some(words.clone()),
            Command::Stopsignal(signal) => state.config.config.stop_signal = Some(self.expand(state, signal)?),
            Command::User(user) => state.config.config.user = self.expand(state, user)?,
            Command::Volume(paths) => {
                let paths = paths.iter().map(|path| self.expand(state, path)).collect::<Result<Vec<_>>>()?;
                state.add_volumes(paths);
            }
            Command::Add(_) | Command::Copy(_) | Command::Run(_) | Command::Workdir(_) => {}
        }
        state.note(text);
        Ok(())
    }
}

/// `# berth: no-cache` right above an instruction: it is made at every build.
fn is_opt_out(comment: &str) -> bool {
    let words = comment.trim_start_matches('#').trim();
    words.strip_prefix("berth:").is_some_and(|rest| rest.split([',', ' ']).any(|word| word.trim() == "no-cache"))
}

/// The ignore file of a context: the Dockerfile's own before the general one.
fn read_ignore(tree: &Tree, dockerfile: &str) -> Result<Option<Ignore>> {
    for name in [format!("{dockerfile}.dockerignore"), ".dockerignore".to_owned()] {
        let Ok(file) = crate::tree::open_file(tree.root(), &name) else { continue };
        let mut bytes = Vec::new();
        let limit = berth_dockerfile::limit::IGNORE_BYTES as u64 + 1;
        std::io::Read::read_to_end(&mut std::io::Read::take(file, limit), &mut bytes)
            .map_err(Error::file("read", &name))?;
        return Ignore::parse(&bytes).map(Some).map_err(|error| Error::Invalid(format!("{name}: {error}")));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_opts_out() {
        assert!(is_opt_out("# berth: no-cache"));
        assert!(is_opt_out("berth: quiet, no-cache"));
        assert!(!is_opt_out("# no-cache"));
        assert!(!is_opt_out("# berth: no-cache-please"));
    }
}
