//! `RUN --mount`: what is mounted, where it comes from, and what goes away afterwards.
//!
//! A source in a context is opened below a descriptor, cloned as a mount of its own and attached to an empty place of
//! the builder's: the container is given that place, so that nothing which is renamed meanwhile leads elsewhere.

use std::{
    collections::{HashMap, HashSet},
    os::fd::{AsFd, BorrowedFd},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use berth_container::StepMount;
use rustix::fs::{AtFlags, FileType, OFlags};
use tokio::net::UnixListener;

use crate::{
    Client, Error, Result,
    copy::{CopyOptions, copy},
    select::{Filter, select},
    tree::{self, Tree},
};

/// The mounts of one command.
#[derive(Default)]
pub(crate) struct Mounts {
    pub list: Vec<StepMount>,
    pub env: Vec<(String, String)>,
    /// Released after the command.
    pub held: Vec<Box<dyn std::any::Any + Send + Sync>>,
}

/// Folders of `--mount=type=cache`.
pub(crate) struct CacheFolders {
    root: PathBuf,
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    private: Arc<Mutex<HashSet<PathBuf>>>,
}

struct Private(Arc<Mutex<HashSet<PathBuf>>>, PathBuf);

impl Drop for Private {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl CacheFolders {
    pub fn open(root: &Path) -> Result<Self> {
        std::fs::create_dir_all(root).map_err(Error::file("create", root))?;
        std::fs::set_permissions(root, PermissionsExt::from_mode(0o700)).map_err(Error::file("chmod", root))?;
        Ok(Self { root: root.to_owned(), locks: Mutex::default(), private: Arc::default() })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder that one command has at a time.
    pub async fn locked(&self, name: &str, mounts: &mut Mounts) -> PathBuf {
        let turn = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(name.to_owned()).or_default())
        };
        mounts.held.push(Box::new(turn.lock_owned().await));
        self.root.join(name)
    }

    /// A folder that commands share.
    pub fn shared(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A folder that nobody has.
    pub fn private(&self, name: &str, mounts: &mut Mounts) -> PathBuf {
        let mut taken = self.private.lock().unwrap_or_else(PoisonError::into_inner);
        let ways = (0..).map(|number| match number {
            0 => self.root.join(name),
            number => self.root.join(format!("{name}.{number}")),
        });
        let mut free = ways.skip_while(|path: &PathBuf| taken.contains(path));
        let path = free.next().unwrap_or_else(|| self.root.join(name));
        taken.insert(path.clone());
        mounts.held.push(Box::new(Private(Arc::clone(&self.private), path.clone())));
        path
    }

    /// Makes a folder at its first use, filled with what lies at a path of a tree.
    pub fn fill(&self, path: &Path, from: Option<(&Tree, &str)>, mode: u32, owner: (u32, u32)) -> Result<()> {
        if path.is_dir() {
            return Ok(());
        }
        let draft = self.root.join(format!("draft-{}", berth_kit::id::generate()));
        std::fs::create_dir(&draft).map_err(Error::file("create", &draft))?;
        if let Some((tree, source)) = from {
            copy_out(tree, source, &draft)?;
        }
        std::fs::set_permissions(&draft, PermissionsExt::from_mode(mode)).map_err(Error::file("chmod", &draft))?;
        std::os::unix::fs::chown(&draft, Some(owner.0), Some(owner.1)).map_err(Error::file("chown", &draft))?;
        match std::fs::rename(&draft, path) {
            Ok(()) => Ok(()),
            Err(_) if path.is_dir() => std::fs::remove_dir_all(&draft).map_err(Error::file("remove", &draft)),
            Err(error) => Err(Error::file("create", path)(error)),
        }
    }
}

/// Copies what lies at a path of a tree into a folder of the builder's; a file becomes the folder's only entry.
pub(crate) fn copy_out(tree: &Tree, source: &str, to: &Path) -> Result<Option<String>> {
    let found = select(tree.root(), source, Filter::default())?;
    let Some(found) = found.first() else {
        return Err(Error::Missing(format!("failed to find {source}: not found")));
    };
    let target = Tree::open(to, None)?;
    copy(target.root(), found, "/", true, &CopyOptions::default())?;
    let name = (!found.is_dir).then(|| found.path.rsplit('/').next().unwrap_or_default().to_owned());
    Ok(name)
}

/// A mount that is taken off when dropped.
struct Attached(PathBuf);

impl Drop for Attached {
    fn drop(&mut self) {
        if let Err(error) = berth_sys::mount::detach(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot take off a mount of a build");
        }
    }
}

/// Attaches what lies at a path of a tree to a new place below `work`; gives the place.
pub(crate) fn attach(tree: &Tree, source: &str, work: &Path, mounts: &mut Mounts) -> Result<PathBuf> {
    let open = tree::open_in(tree.root(), source, OFlags::PATH).map_err(|errno| match errno {
        rustix::io::Errno::NOENT => Error::Missing(format!("failed to find {source}: not found")),
        errno => Error::call("open", source)(errno),
    })?;
    let stat = rustix::fs::fstat(&open).map_err(Error::call("look at", source))?;
    let clone = berth_sys::mount::clone_tree(open.as_fd(), c"", false).map_err(Error::call("mount", source))?;
    let place = work.join(format!("mount-{}", mounts.list.len()));
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => std::fs::create_dir(&place).map_err(Error::file("create", &place))?,
        FileType::RegularFile => std::fs::write(&place, []).map_err(Error::file("create", &place))?,
        _ => return Err(Error::Invalid(format!("{source} is neither file nor folder"))),
    }
    berth_sys::mount::attach_at(clone.as_fd(), &place).map_err(Error::call("mount", &place))?;
    mounts.held.push(Box::new(Attached(place.clone())));
    Ok(place)
}

/// Offers a client's SSH agent as a socket at `path`.
pub(crate) fn serve_ssh(client: Arc<dyn Client>, id: String, path: &Path, mounts: &mut Mounts) -> Result<()> {
    let listener = UnixListener::bind(path).map_err(Error::file("listen at", path))?;
    let task = tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let join = client.ssh(id.clone(), connection);
            tokio::spawn(async move {
                if let Err(reason) = join.await {
                    tracing::debug!(reason, "a connection to an SSH agent ended");
                }
            });
        }
    });
    mounts.held.push(Box::new(Abort(task)));
    Ok(())
}

struct Abort(tokio::task::JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The destinations, and folders above them, that are not there before the command: deepest first.
pub(crate) fn stubs(root: BorrowedFd<'_>, list: &[StepMount]) -> Vec<String> {
    let mut found = HashSet::new();
    for mount in list {
        let mut path = mount.destination.clone();
        while path.len() > 1 && tree::open_in(root, &path, OFlags::PATH).is_err() {
            let above = crate::place::split(&path).0.to_owned();
            found.insert(std::mem::replace(&mut path, above));
        }
    }
    let mut found: Vec<String> = found.into_iter().collect();
    found.sort_by_key(|path| std::cmp::Reverse(path.len()));
    found
}

/// Takes away what was made for mounts alone and is still empty.
pub(crate) fn remove_stubs(root: BorrowedFd<'_>, stubs: &[String]) {
    for path in stubs {
        let (parent, name) = crate::place::split(path);
        let Ok(above) = tree::open_directory(root, parent) else { continue };
        let Ok(stat) = rustix::fs::statat(&above, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        // A folder that is not empty stays by itself.
        let _ = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => rustix::fs::unlinkat(&above, name, AtFlags::REMOVEDIR),
            FileType::RegularFile if stat.st_size == 0 => rustix::fs::unlinkat(&above, name, AtFlags::empty()),
            _ => Ok(()),
        };
    }
}
