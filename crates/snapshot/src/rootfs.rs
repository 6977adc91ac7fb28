//! From layers to one mount: overlay by the new mount API, id-mapped for a container's user namespace.
//!
//! ```text
//!  <common directory>  ──open_tree(CLONE)──►  detached clone ──mount_setattr(IDMAP)──► the same files, ids shifted
//!        layers/a/fs   ──openat below the clone──► lowerdir+   ┐
//!        layers/b/fs   ──openat below the clone──► lowerdir+   ├─ fsconfig by descriptor ──► fsmount: detached overlay
//!        c/upper, work ──openat below the clone──► upperdir    ┘
//! ```
//!
//! One clone serves all layers, as they lie on one mount. Upper and work directory are id-mapped too, so what the
//! container's root writes belongs to id 0 on disk. Overlay itself works in the upper directory with the rights of
//! whoever mounts: the kernel refuses to create a file for an id that the mount cannot map, so the mounter takes the
//! container root's file-system id for that moment.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use berth_sys::Errno;
use berth_sys::mount::{Change, NewFilesystem, attr, clone_tree, set_attributes};
use berth_sys::process::FilesystemIds;
use berth_sys::user_namespace;
use rustix::fs::{CWD, Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::attached;
use crate::error::{Error, Result};

/// How to mount a root file system: plain data, so that the process that mounts need not know the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rootfs {
    /// Layers, top first. Empty: `upper` is the whole tree.
    pub lower: Vec<PathBuf>,
    /// What is written.
    pub upper: PathBuf,
    /// Overlay's own directory, on the mount of `upper`.
    pub work: PathBuf,
    /// Leave the upper directory out of use and mount everything read-only.
    #[serde(default)]
    pub read_only: bool,
    /// What is written need not survive a crash of the machine: overlay's `volatile` (kernel documentation,
    /// overlayfs.rst). Without it the end of a container waits until the whole file system below is on disk.
    #[serde(default)]
    pub volatile: bool,
}

/// Where overlay notes, below its work directory, that a mount was volatile; it then refuses every later one.
const VOLATILE_MARK: &str = "work/incompat";

/// Mounts that were needed to make another one.
#[derive(Debug, Default)]
pub struct Scaffold(Vec<OwnedFd>);

impl Rootfs {
    /// A detached mount of this root file system. With a user namespace, ids on disk appear through its maps.
    /// Needs `CAP_SYS_ADMIN`; changes the calling thread's file-system ids for a moment when a namespace is given.
    pub fn mount(&self, user_namespace: Option<BorrowedFd<'_>>) -> Result<OwnedFd> {
        let mut scaffold = Scaffold::default();
        self.mount_on(user_namespace, &mut scaffold)
    }

    /// As [`mount`](Self::mount), but what is no longer needed afterwards is kept in `scaffold`: closing it waits for
    /// the kernel, some 0.1 ms, which can be done while others work.
    pub fn mount_on(&self, user_namespace: Option<BorrowedFd<'_>>, scaffold: &mut Scaffold) -> Result<OwnedFd> {
        if let [only] = self.directories().as_slice() {
            return self.single(only, user_namespace);
        }
        if !self.read_only {
            self.forget_volatile()?;
        }
        // A detached clone falls apart when its own descriptor is closed, whatever is open below it.
        let parts = self.open(user_namespace, &mut scaffold.0)?;
        // Upper and work belong to id 0 on disk, so they show the id of the container's root.
        let _ids = match parts.get(self.lower.len()) {
            Some(upper) if user_namespace.is_some() => Some(self.act_as_owner(upper)?),
            _ => None,
        };
        self.overlay(&parts, &scaffold.0)
    }

    /// Every directory that takes part: the layers, then (when written to) upper and work.
    fn directories(&self) -> Vec<&Path> {
        let mut all: Vec<&Path> = self.lower.iter().map(PathBuf::as_path).collect();
        if self.lower.is_empty() {
            all.push(&self.upper);
        } else if !self.read_only {
            all.extend([self.upper.as_path(), self.work.as_path()]);
        }
        all
    }

    /// Opens every directory that takes part, in the order of [`directories`](Self::directories).
    fn open(&self, user_namespace: Option<BorrowedFd<'_>>, clones: &mut Vec<OwnedFd>) -> Result<Vec<OwnedFd>> {
        let directories = self.directories();
        let Some(namespace) = user_namespace else {
            return directories.iter().map(|path| open_below(CWD, path, path)).collect();
        };
        let common = common_directory(&directories);
        if !on_one_mount(&common, &directories) {
            return self.open_apart(&directories, namespace, clones);
        }
        let clone = id_mapped(&common, namespace)?;
        let below = |path: &&Path| open_below(clone.as_fd(), relative(path, &common), path);
        let parts = directories.iter().map(below).collect();
        clones.push(clone);
        parts
    }

    /// Layers on several mounts: a clone each; upper and work share one, as overlay demands.
    fn open_apart(
        &self,
        directories: &[&Path],
        namespace: BorrowedFd<'_>,
        clones: &mut Vec<OwnedFd>,
    ) -> Result<Vec<OwnedFd>> {
        let mut parts = Vec::with_capacity(directories.len());
        for path in directories.iter().take(self.lower.len().max(1)) {
            let clone = id_mapped(path, namespace)?;
            parts.push(open_below(clone.as_fd(), Path::new("."), path)?);
            clones.push(clone);
        }
        if directories.len() > parts.len() {
            let common = common_directory(&[&self.upper, &self.work]);
            let clone = id_mapped(&common, namespace)?;
            for path in [&self.upper, &self.work] {
                parts.push(open_below(clone.as_fd(), relative(path, &common), path)?);
            }
            clones.push(clone);
        }
        Ok(parts)
    }

    fn act_as_owner(&self, directory: &OwnedFd) -> Result<FilesystemIds> {
        let owner = rustix::fs::fstat(directory).map_err(Error::io("read", &self.upper))?;
        FilesystemIds::take(owner.st_uid, owner.st_gid).map_err(Error::io("act as the owner of", &self.upper))
    }

    /// The overlay of all parts, which were opened below `clones`.
    fn overlay(&self, parts: &[OwnedFd], clones: &[OwnedFd]) -> Result<OwnedFd> {
        let (lower, written) = parts.split_at(self.lower.len());
        let new = NewFilesystem::open("overlay").map_err(|errno| self.refused("overlay", errno, String::new()))?;
        if let Some(top) = lower.first()
            && new.descriptor("lowerdir+", top.as_fd()).is_err()
        {
            let home = self.work.parent().unwrap_or(&self.work);
            return attached::overlay(lower, written.first().zip(written.get(1)), clones, home);
        }
        let make = || {
            lower.iter().skip(1).try_for_each(|layer| new.descriptor("lowerdir+", layer.as_fd()))?;
            if let [upper, work] = written {
                new.descriptor("upperdir", upper.as_fd())?;
                new.descriptor("workdir", work.as_fd())?;
                if self.volatile {
                    // Slower without it (before kernel 5.10), and no less correct.
                    let _ = new.flag("volatile");
                }
            }
            // Renamed directories and hard links behave alike on every host, whatever its module's defaults.
            let features: &[&str] = match user_namespace::is_nested() {
                false => &["index", "redirect_dir", "metacopy"],
                // With attributes of its user's the kernel knows no redirection, and takes no word on it.
                true => &["index"],
            };
            for feature in features {
                new.text(feature, "off")?;
            }
            if user_namespace::is_nested() {
                new.flag("userxattr")?;
            }
            new.mount(self.attributes())
        };
        make().map_err(|errno| self.refused("overlay", errno, new.messages()))
    }

    /// Takes away what overlay keeps to refuse another mount after a volatile one: it means a crash of the machine, but
    /// comes from an earlier run of the container, too. Only roots that nobody counts on are ever mounted so.
    fn forget_volatile(&self) -> Result<()> {
        let mark = self.work.join(VOLATILE_MARK);
        match std::fs::remove_dir_all(&mark) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::Io { act: "clear", path: mark, source: error })
            }
            _ => Ok(()),
        }
    }

    /// A mount of one directory, without overlay.
    fn single(&self, path: &Path, user_namespace: Option<BorrowedFd<'_>>) -> Result<OwnedFd> {
        let mount = match user_namespace {
            Some(namespace) => id_mapped(path, namespace)?,
            None => clone_tree(CWD, path, false).map_err(Error::io("clone the mount of", path))?,
        };
        if self.read_only {
            set_attributes(mount.as_fd(), &Change { set: self.attributes(), ..Change::default() })
                .map_err(|errno| self.refused("directory", errno, String::new()))?;
        }
        Ok(mount)
    }

    fn attributes(&self) -> u64 {
        if self.read_only { attr::READ_ONLY } else { 0 }
    }

    fn refused(&self, what: &'static str, errno: Errno, messages: String) -> Error {
        Error::Mount { what, path: self.upper.clone(), messages, source: errno.into() }
    }
}

/// A detached clone of the mount at `path`, seen through a user namespace's id maps.
fn id_mapped(path: &Path, namespace: BorrowedFd<'_>) -> Result<OwnedFd> {
    let clone = clone_tree(CWD, path, false).map_err(Error::io("clone the mount of", path))?;
    let change = Change { id_map: Some(namespace), ..Change::default() };
    match set_attributes(clone.as_fd(), &change) {
        Ok(()) => Ok(clone),
        Err(Errno::INVAL) => Err(Error::IdMapRefused { path: path.to_owned() }),
        Err(errno) => Err(Error::io("map the ids of", path)(errno)),
    }
}

/// `path` as seen from `common`, which it lies below.
fn relative<'a>(path: &'a Path, common: &Path) -> &'a Path {
    match path.strip_prefix(common) {
        Ok(rest) if !rest.as_os_str().is_empty() => rest,
        _ => Path::new("."),
    }
}

fn open_below(directory: BorrowedFd<'_>, relative: &Path, named: &Path) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat(directory, relative, flags, Mode::empty()).map_err(Error::io("open", named))
}

/// The deepest directory that all paths have in common.
fn common_directory(paths: &[&Path]) -> PathBuf {
    let mut common = paths.first().map(|path| path.to_path_buf()).unwrap_or_default();
    for path in paths {
        while !path.starts_with(&common) && common.pop() {}
    }
    common
}

/// Whether all directories lie on the mount that shows `common`: only then does a clone of that mount hold them.
fn on_one_mount(common: &Path, paths: &[&Path]) -> bool {
    let mount_of = |path: &Path| {
        let wanted = rustix::fs::StatxFlags::MNT_ID;
        rustix::fs::statx(CWD, path, rustix::fs::AtFlags::empty(), wanted).ok().map(|found| found.stx_mnt_id)
    };
    let expected = mount_of(common);
    expected.is_some() && paths.iter().all(|path| mount_of(path) == expected)
}
