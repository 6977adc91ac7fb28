//! A folder tree of a stranger, below a descriptor: every path in it is resolved with the tree as `/`.

use std::{
    any::Any,
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, Stat},
    io::Errno,
};

/// Where source files are: a context, a stage or an image.
pub(crate) struct Tree {
    root: OwnedFd,
    /// What the checksums of its files may be remembered by; none for a tree that changes.
    pub memo: Option<String>,
    /// What keeps it.
    _guard: Option<Arc<dyn Any + Send + Sync>>,
}

/// Opens directories below a root without leaving it.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Tree {
    pub fn new(root: OwnedFd, memo: Option<String>, guard: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        Self { root, memo, _guard: guard }
    }

    /// A folder of the engine's own.
    pub fn open(path: &Path, guard: Option<Arc<dyn Any + Send + Sync>>) -> crate::Result<Self> {
        let root = rustix::fs::open(path, DIRECTORY, Mode::empty()).map_err(crate::Error::call("open", path))?;
        Ok(Self::new(root, None, guard))
    }

    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// What is left of a path without slashes in front; `.` for the root itself.
pub(crate) fn relative(path: &str) -> &str {
    let path = path.trim_start_matches('/');
    if path.is_empty() { "." } else { path }
}

/// Opens a path, links followed with `root` as `/`.
pub(crate) fn open_in(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    retry(|| rustix::fs::openat2(root, relative(path), flags | OFlags::CLOEXEC, Mode::empty(), resolve))
}

/// Opens a path on which no link may lie.
pub(crate) fn open_plain(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    retry(|| rustix::fs::openat2(root, relative(path), flags | OFlags::CLOEXEC, Mode::empty(), resolve))
}

/// `openat2` gives up with `EAGAIN` when something is renamed meanwhile.
fn retry(open: impl Fn() -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    for _ in 0..64 {
        match open() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            outcome => return outcome,
        }
    }
    open()
}

/// Opens a directory, links followed with `root` as `/`.
pub(crate) fn open_directory(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd, Errno> {
    open_in(root, path, DIRECTORY)
}

/// Opens a regular file to read, links followed with `root` as `/`; never waits for a pipe.
pub(crate) fn open_file(root: BorrowedFd<'_>, path: &str) -> Result<File, Errno> {
    let file = open_in(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        FileType::RegularFile => Ok(File::from(file)),
        FileType::Directory => Err(Errno::ISDIR),
        _ => Err(Errno::INVAL),
    }
}

/// What a path is, links followed with `root` as `/`; none when there is nothing.
pub(crate) fn look(root: BorrowedFd<'_>, path: &str) -> Result<Option<Stat>, Errno> {
    match open_in(root, path, OFlags::PATH) {
        Ok(found) => rustix::fs::fstat(&found).map(Some),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The names in a directory, ordered.
pub(crate) fn names(directory: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

pub(crate) fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_dir()
}

/// A path without `.`, `..` and doubled slashes, always absolute.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `path` seen from the working directory `base`.
pub(crate) fn join(base: &str, path: &str) -> String {
    if path.starts_with('/') { clean(path) } else { clean(&format!("{base}/{path}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_never_lead_out() {
        let outside = tempfile::tempdir().expect("a folder");
        std::fs::write(outside.path().join("canary"), "alive").expect("write");
        let inside = tempfile::tempdir().expect("a folder");
        let link = inside.path().join("out");
        std::os::unix::fs::symlink(outside.path().join("canary"), &link).expect("link");
        std::os::unix::fs::symlink("../../../../etc", inside.path().join("up")).expect("link");
        let tree = Tree::open(inside.path(), None).expect("open");
        assert!(open_file(tree.root(), "out").is_err());
        assert!(open_file(tree.root(), "/up/passwd").is_err());
        assert_eq!(open_plain(tree.root(), "up", OFlags::PATH).err(), Some(Errno::LOOP));
        assert_eq!(open_plain(tree.root(), "../x", OFlags::PATH).err(), Some(Errno::XDEV));
    }

    #[test]
    fn paths_are_cleaned() {
        assert_eq!(clean("a//b/./../c/"), "/a/c");
        assert_eq!(clean("../.."), "/");
        assert_eq!(join("/w", "x/../y"), "/w/y");
        assert_eq!(join("/w", "/x"), "/x");
        assert_eq!(relative("//"), ".");
    }
}
