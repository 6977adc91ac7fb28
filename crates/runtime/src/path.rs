//! Paths inside a container: resolved below its root, whatever links an image has put there.
//!
//! `openat2(2)` with `RESOLVE_IN_ROOT` answers for what exists. What does not is made component by component, so that
//! a dangling link (an image's `/etc/resolv.conf` often is one) is followed inside the root and never outside.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use berth_kit::guard::{Guard, stands};
use berth_sys::{Errno, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};

/// Symbolic links that are followed before the kernel's own answer is given: `ELOOP`.
const MAX_LINKS: usize = 40;

/// What to make when the path does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Make {
    /// An empty file, mode 0644.
    File,
    /// A directory, mode 0755.
    Directory,
}

/// Opens an existing path inside `root`.
pub(crate) fn open(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    open_with(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS)
}

/// Opens an existing path inside `root` on whose way there must be no link.
pub(crate) fn open_plain(root: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Result<OwnedFd> {
    open_with(root, path, flags, ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS)
}

fn open_with(root: BorrowedFd<'_>, path: &Path, flags: OFlags, resolve: ResolveFlags) -> Result<OwnedFd> {
    loop {
        // The kernel asks to try again when something was renamed on the way.
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => continue,
            other => return other,
        }
    }
}

/// Opens (as `O_PATH`) a path inside `root`, after making it and the directories on its way where they are missing.
pub(crate) fn open_or_make(root: BorrowedFd<'_>, path: &Path, make: Make) -> Result<OwnedFd> {
    if !stands(Guard::TargetBeneath) {
        return open_or_make_by_name(root, path, make);
    }
    match open(root, path, OFlags::PATH) {
        Err(Errno::NOENT) => {}
        other => return other,
    }
    let mut real = PathBuf::new();
    let mut pending: VecDeque<OsString> = names(path);
    let mut links = 0;
    while let Some(name) = pending.pop_front() {
        if name == ".." {
            real.pop();
            continue;
        }
        let next = real.join(&name);
        let kind = if pending.is_empty() { make } else { Make::Directory };
        let found = match open_plain(root, &next, OFlags::PATH | OFlags::NOFOLLOW) {
            Err(Errno::NOENT) => make_below(root, &real, &name, kind)?,
            other => other?,
        };
        let status = rustix::fs::fstat(&found)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::Symlink {
            real = next;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::LOOP);
        }
        let target = rustix::fs::readlinkat(&found, c"", Vec::new())?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            real = PathBuf::new();
        }
        for name in names(&target).into_iter().rev() {
            pending.push_front(name);
        }
    }
    open(root, &real, OFlags::PATH)
}

/// Makes one file or directory and opens it as `O_PATH`.
fn make_below(root: BorrowedFd<'_>, parent: &Path, name: &OsString, make: Make) -> Result<OwnedFd> {
    let opened;
    let directory = if parent.as_os_str().is_empty() {
        root
    } else {
        opened = open_plain(root, parent, OFlags::PATH | OFlags::DIRECTORY)?;
        opened.as_fd()
    };
    match make {
        Make::Directory => rustix::fs::mkdirat(directory, name, Mode::from_raw_mode(0o755)),
        Make::File => {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    }?;
    open_plain(directory, Path::new(name), OFlags::PATH | OFlags::NOFOLLOW)
}

/// The way of other engines before they were broken: the guard's absence. Links lead where the caller's root is.
fn open_or_make_by_name(root: BorrowedFd<'_>, path: &Path, make: Make) -> Result<OwnedFd> {
    let place = PathBuf::from(format!("/proc/self/fd/{}{}", root.as_raw_fd(), path.display()));
    let failed = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let parent = place.parent().filter(|_| make == Make::File).unwrap_or(&place);
    // PATH: by name, so that the attack succeeds; only in weakened builds.
    std::fs::create_dir_all(parent).map_err(failed)?;
    if make == Make::File && !place.exists() {
        // PATH: as above.
        std::fs::write(&place, []).map_err(failed)?;
    }
    rustix::fs::open(&place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// The components of a path, with `..` kept and `.` and `/` left out.
fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some(OsString::from("..")),
            _ => None,
        })
        .collect()
}

/// Whether an `O_PATH` descriptor stands for a directory.
pub(crate) fn is_directory(fd: BorrowedFd<'_>) -> Result<bool> {
    let status = rustix::fs::statat(fd, c"", AtFlags::EMPTY_PATH)?;
    Ok(FileType::from_raw_mode(status.st_mode) == FileType::Directory)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().expect("tempdir");
        fs::create_dir(dir.path().join("root")).expect("mkdir");
        let fd = fs::File::open(dir.path().join("root")).expect("open");
        (dir, fd.into())
    }

    #[test]
    fn missing_directories_are_made_inside() {
        let (dir, root) = root();
        open_or_make(root.as_fd(), Path::new("/a/b/../c/file"), Make::File).expect("make");
        assert!(dir.path().join("root/a/c/file").is_file());
    }

    #[test]
    fn dangling_links_are_followed_inside() {
        let (dir, root) = root();
        let inside = dir.path().join("root");
        fs::create_dir(inside.join("etc")).expect("mkdir");
        symlink("../run/resolve/stub.conf", inside.join("etc/resolv.conf")).expect("link");
        symlink("/../../outside", inside.join("evil")).expect("link");
        symlink("../../../../outside", inside.join("etc/evil")).expect("link");
        open_or_make(root.as_fd(), Path::new("/etc/resolv.conf"), Make::File).expect("make");
        open_or_make(root.as_fd(), Path::new("/evil/x"), Make::Directory).expect("make");
        open_or_make(root.as_fd(), Path::new("/etc/evil/y"), Make::Directory).expect("make");
        assert!(inside.join("run/resolve/stub.conf").is_file());
        assert!(inside.join("outside/x").is_dir() && inside.join("outside/y").is_dir());
        assert!(!dir.path().join("outside").exists());
    }

    #[test]
    fn endless_links_end() {
        let (dir, root) = root();
        symlink("b", dir.path().join("root/a")).expect("link");
        symlink("a", dir.path().join("root/b")).expect("link");
        assert_eq!(open_or_make(root.as_fd(), Path::new("/a/c"), Make::File).err(), Some(Errno::LOOP));
    }
}
