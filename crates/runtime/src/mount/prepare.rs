//! The maker's part: detached clones of the host's trees, with attributes and id maps, ready to be attached.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use berth_sys::Errno;
use berth_sys::mount::{Change, Propagation, clone_tree, set_attributes};
use rustix::fs::CWD;

use super::option::Options;
use crate::device;
use crate::error::{Error, Result};
use crate::plan::{Kind, Plan};

/// Mounts in the order in which the init wants them, and what did not go as asked.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// The root file system first, then binds and `/dev` in the specification's order.
    pub(crate) mounts: Vec<OwnedFd>,
    pub(crate) warnings: Vec<String>,
}

/// Prepares everything that needs the host's rights. `user_namespace` is the container's, when it has one.
pub(crate) fn all(plan: &Plan<'_>, user_namespace: Option<BorrowedFd<'_>>) -> Result<Prepared> {
    let mut prepared = Prepared::default();
    prepared.mounts.push(plan.rootfs.mount(user_namespace)?);
    for mount in &plan.mounts {
        match &mount.kind {
            Kind::Bind(source) => {
                let bound = bind(source, &mount.options, user_namespace, &mut prepared.warnings)?;
                prepared.mounts.push(bound);
            }
            Kind::Devices => {
                let (root_uid, root_gid) = plan.id_maps.to_host(0, 0);
                let devices = plan.linux.devices().as_deref().unwrap_or_default();
                let mount = device::directory(&mount.options, devices, (root_uid, root_gid), &plan.id_maps)?;
                prepared.mounts.push(mount);
            }
            Kind::Control | Kind::Filesystem(_) => {}
        }
    }
    Ok(prepared)
}

/// A clone of a tree of the host.
fn bind(
    source: &Path,
    options: &Options,
    user_namespace: Option<BorrowedFd<'_>>,
    warnings: &mut Vec<String>,
) -> Result<OwnedFd> {
    let recursive = options.bind.unwrap_or(false);
    let clone = || match clone_tree(CWD, source, recursive) {
        Err(Errno::NOENT) => Err(Error::BindSourceMissing { path: source.to_owned() }),
        other => other.map_err(Error::prepare("clone the mount of", source)),
    };
    let mut mount = clone()?;
    let (kind, deep) = options.propagation.unwrap_or((Propagation::Private, true));
    let wanted = user_namespace.filter(|_| !options.without_id_map);
    let below = Change {
        propagation: Some(kind).filter(|_| deep),
        id_map: wanted,
        recursive,
        set: options.set_recursive,
        clear: options.clear_recursive,
    };
    match set_attributes(mount.as_fd(), &below) {
        Ok(()) => {}
        // Some file systems cannot be id-mapped, and none twice. A failed attempt changed nothing that matters, but a
        // tree may be half mapped: a new clone is not.
        Err(Errno::INVAL | Errno::PERM) if wanted.is_some() => {
            warnings.push(format!(
                "{}: its file system does not support id-mapped mounts; files belong to nobody inside",
                source.display()
            ));
            mount = clone()?;
            let below = Change { id_map: None, ..below };
            set_attributes(mount.as_fd(), &below).map_err(Error::prepare("set the attributes of", source))?;
        }
        Err(errno) => return Err(Error::prepare("set the attributes of", source)(errno)),
    }
    if options.set != 0 || options.clear != 0 || !deep {
        let top = Change {
            set: options.set,
            clear: options.clear,
            propagation: Some(kind).filter(|_| !deep),
            ..Change::default()
        };
        set_attributes(mount.as_fd(), &top).map_err(Error::prepare("set the attributes of", source))?;
    }
    Ok(mount)
}
