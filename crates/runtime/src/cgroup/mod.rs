//! Control groups of a container: made before its first process, removed after its last.
//!
//! ```text
//!   create ──► add(pid) ──► update / freeze / thaw / stats ──► kill_all ──► remove
//!      └ limits are written before a process can be in it
//! ```
//!
//! A container has one directory, `<parent>/<name>`, in every v1 hierarchy, or in the one v2 hierarchy
//! ([`layout`]). Nothing is kept in memory: [`Cgroup::open`] after a restart is as good as the value that
//! [`Cgroup::create`] gave. All paths are relative to the roots of the mounts, as with dockerd's cgroupfs driver; with
//! systemd's driver ([`systemd`]) they are those that it gives to its units.
//!
//! Sources: `Documentation/admin-guide/cgroup-v1/`, `Documentation/admin-guide/cgroup-v2.rst`, cgroups(7).

mod create;
mod delegation;
pub mod device;
mod device_filter;
mod enter;
mod error;
mod file;
mod freeze;
mod layout;
mod limit;
mod oom;
mod process;
mod remove;
pub mod stat;
mod support;
pub(crate) mod systemd;
#[cfg(test)]
mod test;
mod view;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

pub use delegation::{are_usable, delegated, settle};
pub use error::{Error, Result};
pub use layout::Version;
pub use stat::Stats;
pub use support::{Controllers, available};
pub use systemd::{is_booted as systemd_is_booted, slice_path};

use layout::{Controller, Hierarchy, Layout};

/// Where a container's cgroup lies: `parent` from the root of each mount, and the container's own `name` in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPath {
    parent: String,
    name: String,
}

impl CgroupPath {
    /// The parent berth uses unless told otherwise.
    pub const DEFAULT_PARENT: &str = "/berth";

    /// Checks and keeps a parent (absolute, or taken from the root) and a name.
    pub fn new(parent: &str, name: &str) -> Result<Self> {
        let whole = format!("{parent}/{name}");
        let plain = |part: &str| part != ".." && part != "." && !part.contains(['\0', '\n']);
        if name.is_empty() || name.contains('/') || !whole.split('/').all(plain) {
            return Err(Error::InvalidPath { path: whole });
        }
        let parts: Vec<&str> = parent.split('/').filter(|part| !part.is_empty()).collect();
        Ok(CgroupPath { parent: format!("/{}", parts.join("/")), name: name.to_owned() })
    }

    /// Splits a path such as the OCI runtime specification's `cgroupsPath`.
    pub fn parse(path: &str) -> Result<Self> {
        let trimmed = path.trim_end_matches('/');
        let (parent, name) = trimmed.rsplit_once('/').unwrap_or(("", trimmed));
        CgroupPath::new(parent, name)
    }

    /// The parent, with a leading slash.
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// The last component.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The path below a mount point, without a leading slash.
    fn relative(&self) -> String {
        format!("{self}")[1..].to_owned()
    }
}

impl fmt::Display for CgroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.parent.trim_end_matches('/'), self.name)
    }
}

/// A container's cgroup in all hierarchies.
#[derive(Debug)]
pub struct Cgroup {
    path: CgroupPath,
    /// `path` below a mount point.
    relative: String,
    layout: Arc<Layout>,
    /// cgroup v2: the directory, to clone a process straight into.
    directory: Option<OwnedFd>,
}

impl Cgroup {
    /// Opens a cgroup that exists; `Kind::NotFound` if it does not.
    pub fn open(path: &CgroupPath) -> Result<Self> {
        Cgroup::open_in(Layout::get()?, path)
    }

    fn open_in(layout: Arc<Layout>, path: &CgroupPath) -> Result<Self> {
        let mut cgroup = Cgroup { path: path.clone(), relative: path.relative(), layout, directory: None };
        let found = cgroup.layout.hierarchies.iter().any(|h| file::exists(h.root(), &cgroup.relative));
        if !found {
            let source = std::io::ErrorKind::NotFound.into();
            return Err(Error::Open { path: cgroup.display(), source });
        }
        cgroup.open_directory()?;
        Ok(cgroup)
    }

    fn open_directory(&mut self) -> Result<()> {
        if self.layout.is_v2() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let opened = openat(self.layout.hierarchies[0].root(), self.relative.as_str(), flags, Mode::empty());
            self.directory = Some(opened.map_err(|e| Error::Open { path: self.display(), source: e.into() })?);
        }
        Ok(())
    }

    /// Its path.
    pub fn path(&self) -> &CgroupPath {
        &self.path
    }

    /// The layout it lies in.
    pub fn version(&self) -> Version {
        self.layout.version
    }

    /// The directory for `CLONE_INTO_CGROUP`; `None` on v1, where [`Cgroup::add`] moves the process.
    pub fn directory_fd(&self) -> Option<BorrowedFd<'_>> {
        self.directory.as_ref().map(AsFd::as_fd)
    }

    fn display(&self) -> String {
        self.path.to_string()
    }

    /// The hierarchy of the core files: the only one of v2; on v1 the one whose process list is asked.
    fn primary(&self) -> &Hierarchy {
        let order = [Controller::Pids, Controller::Freezer, Controller::Memory, Controller::Devices];
        order.iter().find_map(|c| self.layout.find(*c)).unwrap_or(&self.layout.hierarchies[0])
    }

    fn control(&self, file: &str) -> String {
        format!("{}/{file}", self.relative)
    }

    /// Reads a control file, `None` if controller or file do not exist here.
    fn read(&self, hierarchy: &Hierarchy, name: &str) -> Result<Option<String>> {
        match file::read_text(hierarchy.root(), &self.control(name)) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            // A file that this state of the cgroup does not support, such as `cpu.stat` of a threaded one.
            Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(None),
            Err(source) => Err(Error::Read { path: self.display(), file: name.to_owned(), source }),
        }
    }

    fn write(&self, hierarchy: &Hierarchy, name: &str, value: &str) -> Result<()> {
        file::write_text(hierarchy.root(), &self.control(name), value).map_err(|source| Error::Write {
            path: self.display(),
            file: name.to_owned(),
            value: value.to_owned(),
            source,
        })
    }
}
