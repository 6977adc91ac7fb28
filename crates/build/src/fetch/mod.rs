//! What a build brings from elsewhere: files of the web, git repositories.
//!
//! ```text
//! address ─► git or file? ─► git: commit of the ref ─► checkout of that commit, made once
//!                        └─► file: asked with the entity tag of what is here ─► the same, or a new download
//! ```
//!
//! # On disk
//!
//! ```text
//! <data root>/build/remote/<key>/       one download (its only file), or one checkout
//! <data root>/build/remote/draft-<id>/  on its way; swept at the start
//! ```
//!
//! A folder never changes once it has its name; the build cache has an entry for it and removes it when nobody holds
//! it.

mod address;
mod git;
mod jail;
mod web;

use std::{
    collections::HashMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use berth_remote::Policy;

pub(crate) use address::{Git, Remote};

use crate::{Client, Error, Folder, Result, builder::Shared, tree, usage};

/// All that was brought here.
pub(crate) struct Remotes {
    root: PathBuf,
    turns: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    held: Mutex<HashMap<String, Weak<()>>>,
}

/// Something that was brought here.
#[derive(Clone)]
pub(crate) struct Fetched {
    /// The folder, which nobody changes.
    pub path: PathBuf,
    /// The name of a file in it; none for a checkout.
    pub file: Option<String>,
    /// What it is, for keys of steps: a digest or a commit.
    pub identity: String,
    /// The commit of a checkout.
    pub commit: Option<String>,
    /// While it lives, the folder stays.
    pub guard: Arc<()>,
}

/// What an address gives as a context.
pub enum RemoteContext {
    /// A folder with a Dockerfile in it.
    Folder(Folder),
    /// A Dockerfile alone.
    Dockerfile(Vec<u8>),
}

/// Who asks, and how the outside may be spoken to.
#[derive(Clone)]
pub(crate) struct Asker<'a> {
    pub shared: &'a Arc<Shared>,
    pub policy: &'a Policy,
    pub client: &'a Arc<dyn Client>,
}

impl Remotes {
    pub fn open(root: &Path) -> Result<Self> {
        std::fs::create_dir_all(root).map_err(Error::file("create", root))?;
        std::fs::set_permissions(root, PermissionsExt::from_mode(0o700)).map_err(Error::file("chmod", root))?;
        for entry in std::fs::read_dir(root).map_err(Error::file("read", root))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("draft-") {
                let path = entry.path();
                std::fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
            }
        }
        Ok(Self { root: root.to_owned(), turns: Mutex::default(), held: Mutex::default() })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// One at a time asks for the same.
    async fn turn(&self, name: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| turn.strong_count() > 0);
            match turns.get(name).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    let turn = Arc::new(tokio::sync::Mutex::new(()));
                    turns.insert(name.to_owned(), Arc::downgrade(&turn));
                    turn
                }
            }
        };
        turn.lock_owned().await
    }

    /// The folder of a key, held, where it is here.
    fn hold(&self, key: &str) -> Option<(PathBuf, Arc<()>)> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.root.join(key);
        if !path.is_dir() {
            return None;
        }
        held.retain(|_, guard| guard.strong_count() > 0);
        let guard = held.get(key).and_then(Weak::upgrade).unwrap_or_default();
        held.insert(key.to_owned(), Arc::downgrade(&guard));
        Some((path, guard))
    }

    /// Removes a folder that nobody holds; says whether it went.
    pub fn remove(&self, key: &str) -> Result<bool> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.get(key).is_some_and(|guard| guard.strong_count() > 0) {
            return Ok(false);
        }
        let path = self.root.join(key);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
            _ => Ok(true),
        }
    }

    fn draft(&self) -> Result<Draft> {
        let path = self.root.join(format!("draft-{}", berth_kit::id::generate()));
        std::fs::create_dir(&path).map_err(Error::file("create", &path))?;
        Ok(Draft(path))
    }

    /// Gives a draft its name for good.
    fn keep(&self, draft: Draft, key: &str) -> Result<(PathBuf, Arc<()>)> {
        let path = self.root.join(key);
        match std::fs::rename(&draft.0, &path) {
            // Somebody was faster with the same bytes.
            Err(_) if path.is_dir() => {}
            outcome => outcome.map_err(Error::file("create", &path))?,
        }
        drop(draft);
        self.hold(key).ok_or(Error::Cancelled)
    }
}

/// A folder on its way; gone when it is dropped before it has its name.
struct Draft(PathBuf);

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Fetched {
    /// As a folder of a build.
    pub fn folder(&self) -> Folder {
        Folder { path: self.path.clone(), guard: Arc::clone(&self.guard) as _ }
    }
}

impl Asker<'_> {
    /// Brings a context: a repository's folder, an archive's files, or a Dockerfile alone.
    pub async fn context(&self, address: &str) -> Result<RemoteContext> {
        match Remote::parse(address)? {
            Some(Remote::Git(git)) => {
                let fetched = self.git(&git).await?;
                Ok(RemoteContext::Folder(fetched.folder()))
            }
            Some(Remote::Web(address)) => {
                let fetched = self.web(&address, None).await?;
                let contexts = self.shared.contexts.clone();
                crate::context::blocking(move || read_context(&contexts, &fetched)).await
            }
            None => Err(Error::Invalid(format!("{address} is no address of a context"))),
        }
    }

    /// Notes in the cache that a folder is here and used.
    fn note(&self, key: &str, text: &str, kind: &str) -> Result<()> {
        self.shared.note_folder(key, text, kind)
    }
}

fn read_context(contexts: &crate::ContextStore, fetched: &Fetched) -> Result<RemoteContext> {
    let tree = tree::Tree::open(&fetched.path, None)?;
    let name = fetched.file.clone().unwrap_or_default();
    let open = || tree::open_plain(tree.root(), &name, rustix::fs::OFlags::RDONLY).map_err(Error::call("open", &name));
    if crate::files::is_archive(open()?.into()) {
        return contexts.unpack(std::fs::File::from(open()?)).map(RemoteContext::Folder);
    }
    fetched.folder().read(&name).map(RemoteContext::Dockerfile)
}

/// Kinds of entries of the cache whose bytes are folders here.
pub(crate) const KINDS: &[&str] = &[usage::WEB, usage::GIT];
