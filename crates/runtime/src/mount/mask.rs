//! Hiding parts of `/proc` and `/sys`, and making others read-only (OCI runtime specification, "Masked Paths",
//! "Readonly Paths").

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use berth_sys::Errno;
use berth_sys::mount::{self, attr, clone_tree};
use rustix::fs::OFlags;

use berth_kit::guard::{Guard, stands};
use rustix::fs::{CWD, FileType, Mode};

use super::attach::read_only;
use super::filesystem;
use super::option::Options;
use crate::error::Failure;
use crate::path;

/// Covers each path that exists: files with `/dev/null`, directories with one empty read-only tmpfs.
pub(crate) fn hide(root: BorrowedFd<'_>, paths: &[String]) -> Result<(), Failure> {
    let (mut empty, mut null) = (Cover::default(), Cover::default());
    for name in paths {
        let fail = |errno| Failure::kernel("mask", format_args!("cannot mask {name}"), errno);
        let Some(target) = existing(root, name).map_err(fail)? else { continue };
        if path::is_directory(target.as_fd()).map_err(fail)? {
            let covered = empty.put(target.as_fd(), || {
                let data = vec![(String::from("size"), Some(String::from("0")))];
                let options = Options { set: attr::READ_ONLY, data, ..Options::default() };
                filesystem::make("tmpfs", "tmpfs", &options).map_err(|(errno, _)| errno)
            });
            covered.map_err(fail)?;
        } else {
            let covered = null.put(target.as_fd(), || clone_tree(null_device(root)?.as_fd(), c"", false));
            covered.map_err(fail)?;
        }
    }
    Ok(())
}

/// Makes each path that exists read-only, with all that is mounted below it.
pub(crate) fn protect(root: BorrowedFd<'_>, paths: &[String]) -> Result<(), Failure> {
    for name in paths {
        let protect = || {
            let Some(target) = existing(root, name)? else { return Ok(()) };
            let tree = clone_tree(target.as_fd(), c"", true)?;
            read_only(tree.as_fd(), true)?;
            mount::attach(tree.as_fd(), target.as_fd())
        };
        protect().map_err(|errno| Failure::kernel("mask", format_args!("cannot make {name} read-only"), errno))?;
    }
    Ok(())
}

/// The null device: the container's own where it is one, and else the host's, which can still be seen. An image or a
/// volume at `/dev` may hold anything by that name.
fn null_device(root: BorrowedFd<'_>) -> berth_sys::Result<OwnedFd> {
    let own = path::open(root, Path::new("/dev/null"), OFlags::PATH);
    match own {
        Ok(own) if is_null(own.as_fd())? || !stands(Guard::NullDevice) => return Ok(own),
        _ => {}
    }
    let host = rustix::fs::openat(CWD, "/dev/null", OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
    if is_null(host.as_fd())? { Ok(host) } else { Err(Errno::NODEV) }
}

/// Character device 1:3 (`admin-guide/devices.txt` of the kernel).
fn is_null(fd: BorrowedFd<'_>) -> berth_sys::Result<bool> {
    let status = rustix::fs::fstat(fd)?;
    let is_device = FileType::from_raw_mode(status.st_mode) == FileType::CharacterDevice;
    Ok(is_device && status.st_rdev == rustix::fs::makedev(1, 3))
}

fn existing(root: BorrowedFd<'_>, name: &str) -> berth_sys::Result<Option<OwnedFd>> {
    match path::open(root, Path::new(name), OFlags::PATH) {
        Ok(target) => Ok(Some(target)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A cover: the first is made, the others are clones of it. None is ever made in vain, as closing a mount that was not
/// attached waits for the kernel.
#[derive(Default)]
struct Cover(Option<OwnedFd>);

impl Cover {
    fn put(
        &mut self,
        target: BorrowedFd<'_>,
        make: impl FnOnce() -> berth_sys::Result<OwnedFd>,
    ) -> berth_sys::Result<()> {
        match &self.0 {
            Some(first) => mount::attach(clone_tree(first.as_fd(), c"", false)?.as_fd(), target),
            None => mount::attach(self.0.insert(make()?).as_fd(), target),
        }
    }
}
