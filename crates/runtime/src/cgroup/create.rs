//! Making the directories of a container, with its limits in place before a process can join.

use std::io;
use std::sync::Arc;

use oci_spec::runtime::LinuxResources;
use rustix::fs::{AtFlags, Mode, mkdirat, unlinkat};
use rustix::io::Errno;

use super::error::{Error, Result};
use super::layout::{Controller, Hierarchy, Layout};
use super::{Cgroup, CgroupPath, file};

/// The v2 controllers a container uses, as `cgroup.subtree_control` names them.
const V2_CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "io", "memory", "pids", "hugetlb"];

impl Cgroup {
    /// Makes the cgroup and writes its limits; nothing is left behind if a limit is refused.
    ///
    /// An empty cgroup of the same path, left by a crash, is replaced. One with processes is [`Error::InUse`].
    pub fn create(path: &CgroupPath, resources: Option<&LinuxResources>) -> Result<Self> {
        Cgroup::create_in(Layout::get()?, path, resources)
    }

    pub(super) fn create_in(
        layout: Arc<Layout>,
        path: &CgroupPath,
        resources: Option<&LinuxResources>,
    ) -> Result<Self> {
        let mut cgroup = Cgroup { path: path.clone(), relative: path.relative(), layout, directory: None };
        cgroup.make_directories()?;
        let filled = cgroup.open_directory().and_then(|()| match resources {
            Some(resources) => cgroup.apply(resources, true),
            None => Ok(()),
        });
        match filled {
            Ok(()) => Ok(cgroup),
            Err(e) => {
                // The refusal is the news; what cannot be removed now is removed when the path is used again.
                let _ = cgroup.remove();
                Err(e)
            }
        }
    }

    fn make_directories(&self) -> Result<()> {
        for hierarchy in &self.layout.hierarchies {
            if self.layout.is_v2() {
                self.hand_controllers_down(hierarchy)?;
            }
            match make(hierarchy, &self.relative) {
                Ok(()) => continue,
                Err(Errno::NOENT) => self.make_parents(hierarchy)?,
                Err(Errno::EXIST) => self.clear_remains(hierarchy)?,
                Err(e) => return Err(self.create_error(hierarchy, &self.relative, e)),
            }
            make(hierarchy, &self.relative).map_err(|e| self.create_error(hierarchy, &self.relative, e))?;
        }
        Ok(())
    }

    fn create_error(&self, hierarchy: &Hierarchy, relative: &str, errno: Errno) -> Error {
        Error::Create { path: hierarchy.display(relative), source: errno.into() }
    }

    /// Makes each missing ancestor; a new cpuset ancestor gets its parent's CPUs and passes them on by itself.
    fn make_parents(&self, hierarchy: &Hierarchy) -> Result<()> {
        for ancestor in ancestors(&self.relative) {
            match make(hierarchy, ancestor) {
                Ok(()) if hierarchy.has(Controller::Cpuset) && !self.layout.is_v2() => {
                    inherit_cpuset(hierarchy, ancestor)
                        .and_then(|()| {
                            file::write_text(hierarchy.root(), &format!("{ancestor}/cgroup.clone_children"), "1")
                        })
                        .map_err(|source| Error::Create { path: hierarchy.display(ancestor), source })?;
                }
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(self.create_error(hierarchy, ancestor, e)),
            }
        }
        Ok(())
    }

    /// Takes an empty leftover away, so that none of its settings live on.
    fn clear_remains(&self, hierarchy: &Hierarchy) -> Result<()> {
        let count = file::read_text(hierarchy.root(), &self.control("cgroup.procs"))
            .map(|text| text.lines().count())
            .unwrap_or_default();
        if count > 0 {
            return Err(Error::InUse { path: hierarchy.display(&self.relative), count });
        }
        match unlinkat(hierarchy.root(), self.relative.as_str(), AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(self.create_error(hierarchy, &self.relative, e)),
        }
    }

    /// v2: a child has only the controllers that every ancestor lists in `cgroup.subtree_control`.
    fn hand_controllers_down(&self, hierarchy: &Hierarchy) -> Result<()> {
        let offered = file::read_text(hierarchy.root(), "cgroup.controllers").unwrap_or_default();
        let wanted: Vec<&str> =
            V2_CONTROLLERS.into_iter().filter(|c| offered.split_whitespace().any(|o| o == *c)).collect();
        let parent = ancestors(&self.relative).last().unwrap_or("");
        if missing(hierarchy, parent, &wanted).is_some_and(|list| list.is_empty()) {
            return Ok(());
        }
        self.make_parents(hierarchy)?;
        for ancestor in std::iter::once("").chain(ancestors(&self.relative)) {
            let list = missing(hierarchy, ancestor, &wanted).unwrap_or_default();
            enable(hierarchy, ancestor, &list)?;
        }
        Ok(())
    }
}

fn make(hierarchy: &Hierarchy, relative: &str) -> std::result::Result<(), Errno> {
    mkdirat(hierarchy.root(), relative, Mode::from_raw_mode(0o755))
}

/// `a`, `a/b` of `a/b/c`.
fn ancestors(relative: &str) -> impl Iterator<Item = &str> {
    relative.match_indices('/').map(|(at, _)| &relative[..at])
}

fn subtree_control(ancestor: &str) -> String {
    format!("{ancestor}{}cgroup.subtree_control", if ancestor.is_empty() { "" } else { "/" })
}

/// Which of `wanted` this cgroup does not hand down yet; `None` if it does not exist.
fn missing<'a>(hierarchy: &Hierarchy, ancestor: &str, wanted: &[&'a str]) -> Option<Vec<&'a str>> {
    let have = file::read_text(hierarchy.root(), &subtree_control(ancestor)).ok()?;
    Some(wanted.iter().copied().filter(|w| !have.split_whitespace().any(|h| h == *w)).collect())
}

/// Enables what is missing: all at once, or those that can be if the kernel refuses one of them.
fn enable(hierarchy: &Hierarchy, ancestor: &str, list: &[&str]) -> Result<()> {
    if list.is_empty() {
        return Ok(());
    }
    let control = subtree_control(ancestor);
    let all = list.iter().map(|c| format!("+{c}")).collect::<Vec<_>>().join(" ");
    if file::write_text(hierarchy.root(), &control, &all).is_ok() {
        return Ok(());
    }
    for controller in list {
        match file::write_text(hierarchy.root(), &control, &format!("+{controller}")) {
            Ok(()) => {}
            // EBUSY: the rule that inner cgroups hold no processes. EOPNOTSUPP: a threaded cgroup.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EBUSY | libc::EOPNOTSUPP)) => {
                return Err(Error::InternalProcesses { path: hierarchy.display(ancestor), controllers: all });
            }
            // A controller that cannot be had here is reported when a limit asks for it.
            Err(_) => {}
        }
    }
    Ok(())
}

/// v1: an empty cpuset takes no process, so it starts with its parent's CPUs and memory nodes.
pub(super) fn inherit_cpuset(hierarchy: &Hierarchy, relative: &str) -> io::Result<()> {
    let parent = relative.rsplit_once('/').map_or("", |(parent, _)| parent);
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let own = format!("{relative}/{name}");
        if !file::read_text(hierarchy.root(), &own)?.trim().is_empty() {
            continue;
        }
        let of_parent = if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") };
        let mut value = file::read_text(hierarchy.root(), &of_parent)?;
        if value.trim().is_empty() && !parent.is_empty() {
            inherit_cpuset(hierarchy, parent)?;
            value = file::read_text(hierarchy.root(), &of_parent)?;
        }
        file::write_text(hierarchy.root(), &own, value.trim())?;
    }
    Ok(())
}
