//! Which cgroup hierarchies this machine has, and where: v1 (one mount per controller, or co-mounted ones such as
//! `cpu,cpuacct`), v2 (one unified mount), or hybrid (v1 controllers beside a v2 mount without any).
//!
//! `/proc/self/cgroup` names the hierarchies; each is then looked for at its customary place below `/sys/fs/cgroup`,
//! and only when one is missing there is the (possibly long) mount table read. All later work is relative to the
//! descriptors of the mount points, so a path such as `/berth/<id>` starts at the root of the mount, not at the
//! cgroup that berth happens to run in.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, fstatfs, openat};

use super::error::{Error, Result};
use super::file;

/// `CGROUP_SUPER_MAGIC` and `CGROUP2_SUPER_MAGIC` of `linux/magic.h`.
const V1_MAGIC: u64 = 0x0027_e0eb;
const V2_MAGIC: u64 = 0x6367_7270;

/// How the hierarchies are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// Controllers in v1 hierarchies only.
    V1,
    /// Controllers in v1 hierarchies, and a v2 mount beside them.
    Hybrid,
    /// All in one v2 hierarchy.
    V2,
}

impl Version {
    /// Docker's `CgroupVersion`: hybrid machines count as "1".
    pub fn docker(self) -> &'static str {
        if self == Version::V2 { "2" } else { "1" }
    }
}

/// A controller, by the name the kernel knows it under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Controller {
    Cpu,
    Cpuacct,
    Cpuset,
    Memory,
    Devices,
    Freezer,
    Blkio,
    Pids,
    Hugetlb,
    Other,
}

impl Controller {
    pub(super) fn parse(name: &str) -> Self {
        match name {
            "cpu" => Self::Cpu,
            "cpuacct" => Self::Cpuacct,
            "cpuset" => Self::Cpuset,
            "memory" => Self::Memory,
            "devices" => Self::Devices,
            "freezer" => Self::Freezer,
            "blkio" | "io" => Self::Blkio,
            "pids" => Self::Pids,
            "hugetlb" => Self::Hugetlb,
            _ => Self::Other,
        }
    }

    /// The v1 name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
            Self::Cpuset => "cpuset",
            Self::Memory => "memory",
            Self::Devices => "devices",
            Self::Freezer => "freezer",
            Self::Blkio => "blkio",
            Self::Pids => "pids",
            Self::Hugetlb => "hugetlb",
            Self::Other => "other",
        }
    }
}

/// One mounted hierarchy.
pub(super) struct Hierarchy {
    root: OwnedFd,
    /// The mount point, for messages.
    pub(super) mount: PathBuf,
    /// What it controls; for v2, what its root offers.
    pub(super) controllers: Vec<Controller>,
}

impl Hierarchy {
    /// The mount point's descriptor.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(super) fn has(&self, controller: Controller) -> bool {
        self.controllers.contains(&controller)
    }

    /// The absolute path of `relative`, for messages and inotify.
    pub(super) fn display(&self, relative: &str) -> String {
        self.mount.join(relative).to_string_lossy().into_owned()
    }
}

/// The hierarchies in which a container gets a cgroup.
pub(super) struct Layout {
    pub(super) version: Version,
    pub(super) hierarchies: Vec<Hierarchy>,
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mounts = self.hierarchies.iter().map(|h| (&h.mount, &h.controllers));
        f.debug_struct("Layout")
            .field("version", &self.version)
            .field("hierarchies", &mounts.collect::<Vec<_>>())
            .finish()
    }
}

/// Where to look: the real machine, or a made-up tree in a test.
pub(super) struct Source<'a> {
    pub(super) mount_root: &'a Path,
    pub(super) proc_cgroup: String,
    pub(super) mount_table: &'a dyn Fn() -> std::io::Result<String>,
    /// Whether the mounts must really be cgroup file systems.
    pub(super) check_magic: bool,
}

impl Layout {
    /// This machine's layout, found once a process.
    pub(super) fn get() -> Result<Arc<Layout>> {
        static LAYOUT: OnceLock<Arc<Layout>> = OnceLock::new();
        if let Some(layout) = LAYOUT.get() {
            return Ok(layout.clone());
        }
        let proc_cgroup = file::read_text(CWD, "/proc/self/cgroup")
            .map_err(|source| Error::Detect { path: "/proc/self/cgroup", source })?;
        let found = Layout::detect(&Source {
            mount_root: Path::new("/sys/fs/cgroup"),
            proc_cgroup,
            mount_table: &|| std::fs::read_to_string("/proc/self/mountinfo"),
            check_magic: true,
        })?;
        Ok(LAYOUT.get_or_init(|| Arc::new(found)).clone())
    }

    /// Finds the hierarchies that `source` shows.
    pub(super) fn detect(source: &Source<'_>) -> Result<Layout> {
        if let Some(root) = open_mount(source, source.mount_root, V2_MAGIC)
            && file::exists(root.as_fd(), "cgroup.controllers")
        {
            let offered = file::read_text(root.as_fd(), "cgroup.controllers").unwrap_or_default();
            let controllers = offered.split_whitespace().map(Controller::parse).collect();
            let hierarchy = Hierarchy { root, mount: source.mount_root.to_owned(), controllers };
            return Ok(Layout { version: Version::V2, hierarchies: vec![hierarchy] });
        }
        let mut hierarchies = Vec::new();
        let mut table: Option<HashMap<String, PathBuf>> = None;
        for name in v1_names(&source.proc_cgroup) {
            let customary = source.mount_root.join(name.strip_prefix("name=").unwrap_or(name));
            let mut mount = customary;
            let mut root = open_mount(source, &mount, V1_MAGIC);
            if root.is_none() {
                let table = table.get_or_insert_with(|| v1_mounts(&(source.mount_table)().unwrap_or_default()));
                if let Some(path) = table.get(&controller_key(name)) {
                    mount = path.clone();
                    root = open_mount(source, &mount, V1_MAGIC);
                }
            }
            if let Some(root) = root {
                let controllers = name.split(',').map(Controller::parse).collect();
                hierarchies.push(Hierarchy { root, mount, controllers });
            }
        }
        if !hierarchies.iter().any(|h| h.controllers.iter().any(|c| *c != Controller::Other)) {
            return Err(Error::NoHierarchy);
        }
        // The v2 mount beside v1 ones has no controllers, so containers get no directory there: joining one costs
        // the kernel a grace period of half a millisecond.
        let unified = open_mount(source, &source.mount_root.join("unified"), V2_MAGIC);
        let version = if unified.is_some() { Version::Hybrid } else { Version::V1 };
        Ok(Layout { version, hierarchies })
    }

    /// The hierarchy that holds `controller`.
    pub(super) fn find(&self, controller: Controller) -> Option<&Hierarchy> {
        self.hierarchies.iter().find(|h| h.has(controller))
    }

    pub(super) fn is_v2(&self) -> bool {
        self.version == Version::V2
    }
}

/// Opens a mount point if it is there and of the right kind.
fn open_mount(source: &Source<'_>, path: &Path, magic: u64) -> Option<OwnedFd> {
    let fd = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    if source.check_magic && fstatfs(&fd).ok()?.f_type as u64 != magic {
        return None;
    }
    Some(fd)
}

/// The v1 hierarchies of `/proc/self/cgroup` (cgroups(7)): lines of `id:controllers:path`, v2's with an empty list.
fn v1_names(proc_cgroup: &str) -> impl Iterator<Item = &str> {
    proc_cgroup.lines().filter_map(|line| line.split(':').nth(1)).filter(|names| !names.is_empty())
}

/// The same controllers in any order are the same hierarchy.
fn controller_key(names: &str) -> String {
    let mut names: Vec<&str> = names.split(',').collect();
    names.sort_unstable();
    names.join(",")
}

/// v1 mounts of a `/proc/self/mountinfo` (proc_pid_mountinfo(5)), by [`controller_key`].
fn v1_mounts(mountinfo: &str) -> HashMap<String, PathBuf> {
    const OPTIONS: [&str; 9] =
        ["rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode", "favordynmods", "none", "seclabel"];
    let mut mounts = HashMap::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let Some(point) = left.split(' ').nth(4) else { continue };
        let fields: Vec<&str> = right.split(' ').collect();
        if let ["cgroup", _, options] = fields[..] {
            let names: Vec<&str> =
                options.split(',').filter(|o| !OPTIONS.contains(o) && !o.starts_with("release_agent=")).collect();
            mounts.entry(controller_key(&names.join(","))).or_insert_with(|| PathBuf::from(point));
        }
    }
    mounts
}
