//! The files that a stage copies from and mounts: of contexts, other stages and images.

use std::sync::{Arc, PoisonError};

use berth_dockerfile::Ignore;
use berth_spec::Digest;

use super::Solve;
use crate::{
    Error, Result, Source,
    attest::Material,
    context::blocking,
    fetch::{Asker, RemoteContext},
    layer::Scratch,
    plan::Origin,
    tree::Tree,
};

impl Solve {
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
