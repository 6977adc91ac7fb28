//! A bundle turned into what must be done: checked by the maker before anything exists, read by the init.

use std::path::{Component, Path, PathBuf};

use berth_kit::guard::{Guard, stands};
use berth_snapshot::Rootfs;
use berth_sys::mount::Propagation;
use berth_sys::namespace::bit;
use berth_sys::user_namespace;
use oci_spec::runtime::{Hooks, Linux, Mount, Process, Spec};

use crate::bundle::{Bundle, Layered};
use crate::error::{Error, Result};
use crate::id_map::IdMaps;
use crate::mount::device_binds;
use crate::mount::option::{self, Options};
use crate::namespace::Namespaces;
use crate::process::ProcessPlan;

/// Everything about one container that is decided before it exists.
pub(crate) struct Plan<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) linux: &'a Linux,
    pub(crate) process: ProcessPlan<'a>,
    pub(crate) rootfs: Rootfs,
    /// Layers to mount in place of a source.
    pub(crate) layered: &'a [(PathBuf, Layered)],
    pub(crate) read_only: bool,
    pub(crate) init: bool,
    /// The cgroup is made by systemd.
    pub(crate) systemd: bool,
    /// Hooks that are to run while it is made.
    pub(crate) hooks: Option<&'a Hooks>,
    /// Ids on disk appear through the container's maps, as berth wants it for what it owns.
    pub(crate) shifts_ids: bool,
    pub(crate) namespaces: Namespaces,
    /// Empty without a new user namespace.
    pub(crate) id_maps: IdMaps,
    pub(crate) mounts: Vec<Planned>,
}

/// One mount of the specification.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) destination: PathBuf,
    pub(crate) kind: Kind,
    pub(crate) options: Options,
    /// What the mount table names as its source.
    pub(crate) source: String,
    /// Id maps of its own.
    pub(crate) maps: Option<IdMaps>,
    /// The part of the source that is meant.
    pub(crate) subpath: Option<PathBuf>,
}

/// Who makes a mount, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A tree of the host, cloned by the maker.
    Bind(PathBuf),
    /// `/dev` with its nodes, filled by the maker: only the host's root can make device nodes.
    Devices,
    /// The container's control groups, attached last.
    Control,
    /// A file system made by the init in the container's own namespaces.
    Filesystem(String),
}

impl<'a> Plan<'a> {
    /// Checks a bundle.
    pub(crate) fn of(bundle: &'a Bundle, process: ProcessPlan<'a>) -> Result<Self> {
        let missing = |field| Error::InvalidSpec { field, reason: String::from("it is missing") };
        let spec = &bundle.spec;
        let linux = spec.linux().as_ref().ok_or_else(|| missing("linux"))?;
        check_process(process.process)?;
        if linux.intel_rdt().is_some() {
            let reason = String::from("Intel RDT is not supported by this runtime (see the features)");
            return Err(Error::InvalidSpec { field: "linux.intelRdt", reason });
        }
        let namespaces = Namespaces::of(linux.namespaces().as_deref().unwrap_or_default())?;
        let id_maps = if namespaces.new & bit::USER != 0 {
            let (users, groups) = (linux.uid_mappings().as_ref(), linux.gid_mappings().as_ref());
            IdMaps::of(users, groups, bundle.extension.id_range)?
        } else {
            IdMaps::default()
        };
        let mounts = spec
            .mounts()
            .iter()
            .flatten()
            .filter_map(|mount| planned(mount, &namespaces).transpose())
            .map(|planned| planned.map(|planned| with_subpath(planned, bundle)))
            .collect::<Result<Vec<_>>>()?;
        let mounts = device_binds::beside(mounts, linux)?;
        Ok(Self {
            spec,
            linux,
            process,
            rootfs: bundle.rootfs()?,
            layered: &bundle.extension.layered,
            read_only: spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false),
            init: bundle.extension.init,
            systemd: bundle.extension.systemd,
            hooks: None,
            // Below the machine's own user namespace the kernel maps no ids of mounts; there the ids are the same.
            shifts_ids: bundle.extension.rootfs.is_some() && !user_namespace::is_nested(),
            namespaces,
            id_maps,
            mounts,
        })
    }

    /// Whether init must wait for hooks that the maker runs.
    pub(crate) fn waits_for_hooks(&self) -> bool {
        let early = |hooks: &&Hooks| hooks.prestart().is_some() || hooks.create_runtime().is_some();
        self.hooks.as_ref().is_some_and(early)
    }

    /// Whether anybody is told the container's state.
    pub(crate) fn tells_state(&self) -> bool {
        self.waits_for_hooks() || self.wants_state()
    }

    /// Whether init wants the container's state.
    pub(crate) fn wants_state(&self) -> bool {
        let own = |hooks: &&Hooks| hooks.create_container().is_some() || hooks.start_container().is_some();
        self.hooks.as_ref().is_some_and(own) || self.process.listener.is_some()
    }

    /// Whether the container's cgroup mount, if any, shows the groups of version 1.
    pub(crate) fn wants_control(&self) -> bool {
        self.mounts.iter().any(|mount| mount.kind == Kind::Control)
    }
}

/// The parts of a process that everything later relies on.
pub(crate) fn check_process(process: &Process) -> Result<()> {
    let invalid = |field, reason: &str| Err(Error::InvalidSpec { field, reason: reason.to_owned() });
    let arguments = process.args().as_deref().unwrap_or_default();
    match arguments.first() {
        None => return invalid("process.args", "no command specified"),
        Some(first) if first.is_empty() => return invalid("process.args", "the command is empty"),
        _ => {}
    }
    let environment = process.env().as_deref().unwrap_or_default();
    if arguments.iter().chain(environment).any(|text| text.contains('\0')) {
        return invalid("process.args", "a NUL byte cannot be passed");
    }
    if !process.cwd().is_absolute() {
        return invalid("process.cwd", "it must be an absolute path");
    }
    Ok(())
}

/// `None` for a view of something that the host does not have.
fn planned(mount: &Mount, namespaces: &Namespaces) -> Result<Option<Planned>> {
    let mut options = option::parse(mount.options().as_deref().unwrap_or_default());
    let kind = mount.typ().as_deref().unwrap_or("none");
    let source = mount.source().clone().unwrap_or_default();
    let destination = clean(mount.destination())?;
    let kind = match kind {
        _ if options.bind.is_some() => Kind::Bind(source),
        "bind" => {
            options.bind = Some(true);
            Kind::Bind(source)
        }
        "tmpfs" if destination == Path::new("/dev") => Kind::Devices,
        "cgroup" | "cgroup2" => Kind::Control,
        // The kernel gives these to the root of the namespace they show; of the host's, the container gets a view.
        "sysfs" if !namespaces.rules(bit::NETWORK) => host_view(&mut options, "/sys"),
        "proc" if !namespaces.rules(bit::PID) => host_view(&mut options, "/proc"),
        "mqueue" if !namespaces.rules(bit::IPC) && !Path::new("/dev/mqueue").exists() => return Ok(None),
        "mqueue" if !namespaces.rules(bit::IPC) => host_view(&mut options, "/dev/mqueue"),
        other => Kind::Filesystem(other.to_owned()),
    };
    let (users, groups) = (mount.uid_mappings().as_ref(), mount.gid_mappings().as_ref());
    let maps = users.or(groups).map(|_| IdMaps::of(users, groups, None)).transpose()?;
    let source = mount.source().as_ref().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Some(Planned { destination, kind, options, source, maps, subpath: None }))
}

fn with_subpath(planned: Planned, bundle: &Bundle) -> Planned {
    let subpath = bundle.extension.subpaths.get(&planned.destination).cloned();
    Planned { subpath, ..planned }
}

fn host_view(options: &mut Options, path: &str) -> Kind {
    options.bind = Some(true);
    options.without_id_map = true;
    if stands(Guard::CgroupReadOnly) {
        // What the host has mounted below, its control groups first of all, is as read-only as the view is.
        options.set_recursive |= options.set;
    }
    options.propagation = Some((Propagation::Private, true));
    options.data.clear();
    Kind::Bind(PathBuf::from(path))
}

/// A destination without `.` and `..`, taken from the root.
fn clean(destination: &Path) -> Result<PathBuf> {
    let mut clean = PathBuf::from("/");
    for component in destination.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            _ => {}
        }
    }
    if clean == Path::new("/") {
        let reason = format!("{} is the container's root", destination.display());
        return Err(Error::InvalidSpec { field: "mounts.destination", reason });
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_cleaned() {
        assert_eq!(clean(Path::new("a/../b/./c")).expect("clean"), Path::new("/b/c"));
        assert!(clean(Path::new("/..")).is_err());
    }
}
