//! What a stage begins with: nothing, another stage, an image, a folder.

use std::sync::Arc;

use berth_dockerfile::Scope;
use berth_image::PullRequest;
use berth_kit::time::Timestamp;
use berth_spec::{Digest, Platform, Reference};

use super::{Solve, Step};
use crate::{
    Error, Result, Source, cache::LayerRef, context::blocking, layer::Scratch, plan::Origin, state::State, tree::Tree,
};

impl Solve {
    pub(super) async fn base(self: &Arc<Self>, origin: &Origin, platform: &Platform, step: &Step) -> Result<State> {
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

    pub(super) async fn image(self: &Arc<Self>, name: &str, platform: &Platform, step: &Step) -> Result<State> {
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
}
