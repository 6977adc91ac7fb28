//! Coming back to a container that another process made.

use std::os::fd::AsFd;

use berth_sys::namespace::bit;
use oci_spec::runtime::State;

use crate::bundle::Bundle;
use crate::cgroup::{Cgroup, CgroupPath};
use crate::create::Container;
use crate::error::{Error, Result};
use crate::id_map::IdMaps;
use crate::namespace::Namespaces;
use crate::seccomp;

impl Container {
    /// The running container of a bundle, whose process 1 is `pid`. The caller makes sure that the number still means
    /// the same process. `state` is told to the agent of the system-call filter, if there is one.
    pub fn reopen(bundle: &Bundle, pid: i32, state: State) -> Result<Self> {
        let missing = |field| Error::InvalidSpec { field, reason: String::from("it is missing") };
        let linux = bundle.spec.linux().as_ref().ok_or_else(|| missing("linux"))?;
        let namespaces = Namespaces::of(linux.namespaces().as_deref().unwrap_or_default())?.own();
        let pidfd = berth_sys::pidfd::open(pid).map_err(Error::process("open the container's process 1"))?;
        let cgroup = match linux.cgroups_path() {
            Some(path) => Cgroup::open(&CgroupPath::parse(&path.to_string_lossy())?).ok(),
            None => None,
        };
        let id_maps = if namespaces & bit::USER != 0 { IdMaps::read(pid)? } else { IdMaps::default() };
        // Once more: the number may have been given away between the caller's look and ours.
        berth_sys::pidfd::send_signal(pidfd.as_fd(), 0).map_err(Error::process("find the container's process 1"))?;
        let filter = linux.seccomp().as_ref().map(seccomp::compile).transpose()?;
        let (groups, seccomp) = (bundle.extension.groups.clone(), linux.seccomp().clone());
        Ok(Self { pid, pidfd, cgroup, namespaces, id_maps, filter, seccomp, groups, state: Some(state) })
    }
}
