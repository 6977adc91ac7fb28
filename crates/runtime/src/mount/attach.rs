//! Attaching mounts inside the new root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use berth_sys::Errno;
use berth_sys::mount::{self, Change, attr};
use rustix::fs::OFlags;

use crate::error::Failure;
use crate::mount::kernel_tree;
use crate::path::{self, Make};
use crate::plan::{Kind, Planned};

/// Puts each mount at its place, in the specification's order, making places that are missing. Control groups come
/// later. `made` and `received` hold the mounts of the init and of the maker.
pub(crate) fn all(
    root: BorrowedFd<'_>,
    mounts: &[Planned],
    made: &mut [Option<OwnedFd>],
    received: &mut dyn Iterator<Item = OwnedFd>,
) -> Result<(), Failure> {
    for (mount, made) in mounts.iter().zip(made) {
        let tree = match mount.kind {
            Kind::Control => continue,
            Kind::Filesystem(_) => made.as_ref().map(|made| rustix::io::fcntl_dupfd_cloexec(made, 3)),
            Kind::Bind(_) | Kind::Devices => received.next().map(Ok),
        };
        let tree =
            tree.unwrap_or(Err(Errno::BADF)).and_then(|tree| one(root, &mount.destination, &tree).map(|()| tree));
        let fail = |errno| {
            let rule = if errno == kernel_tree::REFUSED { kernel_tree::RULE } else { "" };
            Failure::kernel("mount", format_args!("cannot mount on {}{rule}", mount.destination.display()), errno)
        };
        let tree = tree.map_err(fail)?;
        if let Some((kind, _)) = mount.options.propagation.filter(|_| matches!(mount.kind, Kind::Filesystem(_))) {
            let change = Change { propagation: Some(kind), ..Change::default() };
            mount::set_attributes(tree.as_fd(), &change).map_err(fail)?;
        }
    }
    Ok(())
}

/// Puts one mount at a path inside the root.
pub(crate) fn one(root: BorrowedFd<'_>, destination: &Path, tree: &OwnedFd) -> berth_sys::Result<()> {
    let make = if path::is_directory(tree.as_fd())? { Make::Directory } else { Make::File };
    let target = if kernel_tree::must_be_plain(destination) {
        // A link here would let an image choose what the container's /proc is.
        match path::open_plain(root, destination, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => path::open_or_make(root, destination, make)?,
            other => other?,
        }
    } else {
        path::open_or_make(root, destination, make)?
    };
    if path::is_directory(target.as_fd())? != (make == Make::Directory) {
        return Err(if make == Make::Directory { Errno::NOTDIR } else { Errno::ISDIR });
    }
    kernel_tree::check(destination, target.as_fd(), tree.as_fd())?;
    mount::attach(tree.as_fd(), target.as_fd())
}

/// Makes a mount read-only.
pub(crate) fn read_only(tree: BorrowedFd<'_>, recursive: bool) -> berth_sys::Result<()> {
    mount::set_attributes(tree, &Change { set: attr::READ_ONLY, recursive, ..Change::default() })
}
