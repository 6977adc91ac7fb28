//! Moving oneself into a cgroup, which on v1 is far cheaper than being moved.
//!
//! A write to `cgroup.procs` stops every fork and exit on the machine and waits for an RCU grace period, some 10 ms
//! when no other such write came just before. A thread that writes 0 to `tasks` moves only itself, and the kernel knows
//! that it cannot exit or fork meanwhile: it takes no lock and waits for nothing (`cgroup_attach_lock` in
//! `kernel/cgroup/cgroup.c`).

use super::Cgroup;
use super::create::inherit_cpuset;
use super::error::{Error, Result};
use super::file;
use super::layout::Controller;

impl Cgroup {
    /// Moves the calling process, which must have one thread, into the cgroup in all v1 hierarchies. With v2, where a
    /// process is born in its cgroup, there is nothing to do. The hierarchies are reached through descriptors, so the
    /// caller may be in a mount or user namespace of its own, as long as it is the host's root on the host's files.
    pub fn enter(&self) -> Result<()> {
        if self.layout.is_v2() {
            return Ok(());
        }
        let tasks = self.control("tasks");
        for hierarchy in &self.layout.hierarchies {
            let entered = match file::write_text(hierarchy.root(), &tasks, "0") {
                Err(e) if e.raw_os_error() == Some(libc::ENOSPC) && hierarchy.has(Controller::Cpuset) => {
                    inherit_cpuset(hierarchy, &self.relative)
                        .and_then(|()| file::write_text(hierarchy.root(), &tasks, "0"))
                }
                other => other,
            };
            let pid = std::process::id() as i32;
            entered.map_err(|source| Error::Join { path: hierarchy.display(&self.relative), pid, source })?;
        }
        Ok(())
    }
}
