//! Becoming the container's root: attach it, fill it, and leave the host's tree behind.

use std::os::fd::{AsFd, BorrowedFd};

use berth_sys::mount::{self, Change, Propagation};
use rustix::fs::{CWD, Mode, OFlags};

use crate::error::Failure;

/// Cuts the new mount namespace off from the host's, and puts the root file system on top of the old root, where it
/// can be filled.
pub(crate) fn attach(tree: BorrowedFd<'_>) -> Result<(), Failure> {
    let attach = || {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let old = rustix::fs::openat(CWD, "/", flags, Mode::empty())?;
        let change = Change { propagation: Some(Propagation::Slave), recursive: true, ..Change::default() };
        mount::set_attributes(old.as_fd(), &change)?;
        mount::attach(tree, old.as_fd())
    };
    attach().map_err(|errno| Failure::kernel("rootfs", "cannot attach the root file system", errno))
}

/// Makes the tree the only one there is.
pub(crate) fn enter(tree: BorrowedFd<'_>) -> Result<(), Failure> {
    mount::pivot_into(tree).map_err(|errno| Failure::kernel("rootfs", "cannot change the root", errno))
}

/// Sets how mount events travel below the root (`linux.rootfsPropagation`).
pub(crate) fn propagate(tree: BorrowedFd<'_>, kind: Option<&str>) -> Result<(), Failure> {
    let Some(kind) = kind.filter(|kind| !kind.is_empty()) else { return Ok(()) };
    let options = crate::mount::option::parse(&[kind]);
    let Some((kind, _)) = options.propagation else {
        let message = format!("{kind:?} is no mount propagation");
        return Err(Failure::own("rootfs", berth_sys::Errno::INVAL, message));
    };
    mount::set_attributes(tree, &Change { propagation: Some(kind), ..Change::default() })
        .map_err(|errno| Failure::kernel("rootfs", "cannot set the root's propagation", errno))
}
