//! The maker's part: detached clones of the host's trees, with attributes and id maps, ready to be attached.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use berth_kit::guard::{Guard, stands};
use berth_snapshot::Scaffold;
use berth_sys::Errno;
use berth_sys::mount::{Change, Propagation, attr, clone_tree, set_attributes};
use berth_sys::namespace;
use rustix::fs::{CWD, OFlags};

use super::id_shift;
use super::option::Options;
use crate::bundle::Layered;
use crate::device;
use crate::error::{Error, Result};
use crate::path;
use crate::plan::{Kind, Plan};

/// Mounts in the order in which the init wants them, and what did not go as asked.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// The root file system first, then binds and `/dev` in the specification's order.
    pub(crate) mounts: Vec<OwnedFd>,
    pub(crate) warnings: Vec<String>,
    /// To be dropped when there is time.
    pub(crate) scaffold: Scaffold,
}

/// Prepares everything that needs the host's rights. `user_namespace` is the container's, when it has one.
pub(crate) fn all(plan: &Plan<'_>, user_namespace: Option<BorrowedFd<'_>>) -> Result<Prepared> {
    let mut prepared = Prepared::default();
    let shift = user_namespace.filter(|_| plan.shifts_ids);
    let root = plan.rootfs.mount_on(shift, &mut prepared.scaffold)?;
    if plan.rootfs.lower.is_empty() {
        detach_events(&root)?;
    }
    prepared.mounts.push(root);
    for mount in &plan.mounts {
        match &mount.kind {
            Kind::Bind(source) => {
                let own = mount.maps.as_ref().map(id_shift::namespace_of).transpose()?;
                let shift = match &own {
                    Some(own) => Some(own.as_fd()),
                    None if mount.options.with_id_map => user_namespace,
                    None => shift,
                };
                let layers = plan.layered.iter().find(|(place, _)| place == source).map(|(_, layers)| layers);
                let bound = match layers {
                    Some(layers) => layered(source, layers, &mount.options, shift, &mut prepared.scaffold)?,
                    None => bind(source, mount.subpath.as_deref(), &mount.options, shift, &mut prepared.warnings)?,
                };
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

/// The host shall not see what is mounted in the container, even where its own mounts are shared.
fn detach_events(root: &OwnedFd) -> Result<()> {
    let change = Change { propagation: Some(Propagation::Private), ..Change::default() };
    set_attributes(root.as_fd(), &change).map_err(Error::prepare("set the propagation of", Path::new("/")))
}

/// A clone of a tree of the host.
fn bind(
    source: &Path,
    subpath: Option<&Path>,
    options: &Options,
    user_namespace: Option<BorrowedFd<'_>>,
    warnings: &mut Vec<String>,
) -> Result<OwnedFd> {
    let recursive = options.bind.unwrap_or(false);
    let foreign = of_container(source);
    let make = || match (foreign, subpath) {
        (Some((pid, path)), _) => clone_foreign(pid, path, recursive),
        (None, Some(subpath)) => clone_part(source, subpath, recursive),
        (None, None) => clone_tree(CWD, source, recursive),
    };
    let clone = || match make() {
        Err(Errno::NOENT) => Err(Error::BindSourceMissing { path: source.to_owned() }),
        other => other.map_err(Error::prepare("clone the mount of", source)),
    };
    let mut mount = clone()?;
    let (kind, deep) = options.propagation.unwrap_or((Propagation::Private, true));
    // What another container mounted is in terms of the user namespace that both share.
    let wanted = user_namespace.filter(|_| !options.without_id_map && foreign.is_none());
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

/// The mount of an image's layers, or of one directory or file in them. `place` is free to be mounted on meanwhile.
fn layered(
    place: &Path,
    layers: &Layered,
    options: &Options,
    user_namespace: Option<BorrowedFd<'_>>,
    scaffold: &mut Scaffold,
) -> Result<OwnedFd> {
    let whole = layers.rootfs.mount_on(user_namespace, scaffold)?;
    let mount = match layers.subpath.as_str() {
        "" => whole,
        inside => {
            rustix::fs::mkdir(place, rustix::fs::Mode::RWXU).map_err(Error::prepare("make", place))?;
            let part = berth_sys::mount::clone_inside(whole.as_fd(), place, inside);
            // PATH: the engine's own, made a moment ago in its own folder.
            let _ = std::fs::remove_dir(place);
            part.map_err(Error::prepare("find in the image", Path::new(inside)))?
        }
    };
    let change = Change {
        set: options.set | options.set_recursive | attr::READ_ONLY,
        clear: options.clear,
        propagation: Some(Propagation::Private),
        ..Change::default()
    };
    set_attributes(mount.as_fd(), &change).map_err(Error::prepare("set the attributes of", place))?;
    Ok(mount)
}

/// A clone of a part of a tree, found without leaving it.
fn clone_part(source: &Path, subpath: &Path, recursive: bool) -> berth_sys::Result<OwnedFd> {
    if !stands(Guard::SubpathBeneath) {
        return clone_tree(CWD, source.join(subpath), recursive);
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let top = rustix::fs::open(source, flags, rustix::fs::Mode::empty())?;
    clone_tree(path::open(top.as_fd(), subpath, OFlags::PATH)?.as_fd(), c"", recursive)
}

/// The process and the path of a source inside another container: `/proc/<pid>/root/<path>`.
fn of_container(source: &Path) -> Option<(u32, &Path)> {
    let (pid, path) = source.to_str()?.strip_prefix("/proc/")?.split_once("/root/")?;
    let path = Path::new(&source.to_str()?[source.to_str()?.len() - path.len() - 1..]);
    Some((pid.parse().ok()?, path))
}

/// A clone of a tree of another mount namespace: the kernel clones only what the caller's own namespace holds, so the
/// (single-threaded) caller goes there for a moment.
fn clone_foreign(pid: u32, path: &Path, recursive: bool) -> berth_sys::Result<OwnedFd> {
    let open = |of: &str| {
        let name = format!("/proc/{of}/ns/mnt");
        rustix::fs::open(name, rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())
    };
    let (here, there) = (open("self")?, open(&pid.to_string())?);
    namespace::join(there.as_fd(), namespace::bit::MOUNT)?;
    let tree = clone_tree(CWD, path, recursive);
    namespace::join(here.as_fd(), namespace::bit::MOUNT)?;
    tree
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_inside_a_container_are_told_apart() {
        assert_eq!(of_container(Path::new("/proc/12/root/dev/shm")), Some((12, Path::new("/dev/shm"))));
        for other in ["/proc/12/rootx/dev", "/proc/self/root/dev", "/dev/shm", "/proc/12/root"] {
            assert_eq!(of_container(Path::new(other)), None, "{other}");
        }
    }
}
