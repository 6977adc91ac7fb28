//! What a container may see of its own cgroup: its directory in each hierarchy, to be mounted inside.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, openat};

use super::Cgroup;
use super::error::{Error, Result};

impl Cgroup {
    /// The container's directory in each v1 hierarchy, with the name of the hierarchy's mount point (`memory`,
    /// `cpu,cpuacct`). Empty with v2, where one mount made inside the cgroup namespace shows the same.
    pub(crate) fn directories_v1(&self) -> Result<Vec<(String, OwnedFd)>> {
        let mut found = Vec::new();
        if self.layout.is_v2() {
            return Ok(found);
        }
        for hierarchy in &self.layout.hierarchies {
            let Some(name) = hierarchy.mount.file_name() else { continue };
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let opened = openat(hierarchy.root(), self.relative.as_str(), flags, Mode::empty());
            let opened = opened.map_err(|e| Error::Open { path: self.display(), source: e.into() })?;
            found.push((name.to_string_lossy().into_owned(), opened));
        }
        Ok(found)
    }

    /// The whole hierarchy of v2, for a container in the host's cgroup namespace: no user namespace but the one that
    /// owns that namespace may mount it anew. `None` with v1.
    pub(crate) fn hierarchy_v2(&self) -> Result<Option<OwnedFd>> {
        if !self.layout.is_v2() {
            return Ok(None);
        }
        let root = self.layout.hierarchies[0].root().try_clone_to_owned();
        root.map(Some).map_err(|source| Error::Open { path: self.display(), source })
    }
}
