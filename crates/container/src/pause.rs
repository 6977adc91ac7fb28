//! `pause` and `unpause`: the freezer.

use berth_runtime::cgroup::Cgroup;

use crate::{Containers, Error, Result, record::Status};

impl Containers {
    /// Freezes all processes of a container.
    ///
    /// # Errors
    /// [`Error::NotRunning`], [`Error::Conflict`] when it is paused already.
    pub async fn pause(&self, name: &str) -> Result<()> {
        let container = self.shared.find(name)?;
        let _turn = container.turn.lock().await;
        match container.status() {
            Status::Running => {}
            Status::Paused => return Err(Error::Conflict(format!("container {name} is already paused"))),
            Status::Restarting => {
                return Err(Error::Conflict(format!(
                    "container {name} is restarting, wait until the container is running"
                )));
            }
            _ => return Err(Error::NotRunning(container.id.clone())),
        }
        let record = container.read().clone();
        if !self.shared.freeze(&record)? {
            return Err(Error::NotRunning(container.id.clone()));
        }
        self.shared.change(&container, |record| record.state.status = Status::Paused)?;
        self.shared.publish(&container, "pause", &[]);
        Ok(())
    }

    /// Lets the processes of a paused container go on.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is not paused.
    pub async fn unpause(&self, name: &str) -> Result<()> {
        let container = self.shared.find(name)?;
        let _turn = container.turn.lock().await;
        if container.status() != Status::Paused {
            return Err(Error::Conflict(format!("Container {} is not paused", container.id)));
        }
        let record = container.read().clone();
        self.shared.cgroup(&record)?.thaw().map_err(|error| Error::step("thaw the processes", &record.id, error))?;
        self.shared.change(&container, |record| record.state.status = Status::Running)?;
        self.shared.publish(&container, "unpause", &[]);
        Ok(())
    }
}

/// Kills the first process of a container without control groups, and with it all in its pid namespace. A number that
/// is another process's by now is in the engine's own.
fn kill_first(pid: u32) {
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let theirs = namespace(&pid.to_string());
    if pid > 1
        && theirs.is_some()
        && theirs != namespace("self")
        && let Ok(process) = i32::try_from(pid).map_err(drop).and_then(|pid| berth_sys::pidfd::open(pid).map_err(drop))
    {
        let _ =
            berth_sys::pidfd::send_signal(std::os::fd::AsFd::as_fd(&process), rustix::process::Signal::KILL.as_raw());
    }
}

impl crate::containers::Shared {
    /// The container's cgroup, absolute from the hierarchy's root.
    pub(crate) fn cgroup_path(&self, record: &crate::record::Record) -> String {
        let parent = record.host.cgroup_parent.as_deref().filter(|parent| !parent.is_empty());
        let parent = parent.unwrap_or(&self.config.cgroup_parent).trim_matches('/');
        if self.config.systemd_cgroup {
            return format!("{}/berth-{}.scope", berth_runtime::cgroup::slice_path(parent), record.id);
        }
        format!("/{parent}/{}", record.id)
    }

    /// The container's cgroup, opened.
    pub(crate) fn cgroup(&self, record: &crate::record::Record) -> Result<Cgroup> {
        if !berth_runtime::cgroup::are_usable() {
            return Err(Error::Conflict(
                "this engine runs without root, and no control groups are delegated to it: see the warnings of info"
                    .to_owned(),
            ));
        }
        let path = berth_runtime::cgroup::CgroupPath::parse(&self.cgroup_path(record));
        path.and_then(|path| Cgroup::open(&path)).map_err(|error| Error::step("open the cgroup", &record.id, error))
    }

    /// Freezes a container's processes; false when they have just ended.
    pub(crate) fn freeze(&self, record: &crate::record::Record) -> Result<bool> {
        let frozen = self
            .cgroup(record)
            .and_then(|cgroup| cgroup.freeze().map_err(|error| Error::step("freeze the processes", &record.id, error)));
        match frozen {
            Ok(()) => Ok(true),
            // Its end is not booked yet, but its supervisor has taken the cgroup away.
            Err(_) if !std::path::Path::new(&format!("/proc/{}", record.state.pid)).exists() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Thaws whatever is frozen; failure shows in what follows.
    pub(crate) fn thaw(&self, record: &crate::record::Record) {
        if let Ok(cgroup) = self.cgroup(record) {
            let _ = cgroup.thaw();
        }
    }

    /// Kills whatever is left of a container's processes and removes its cgroup.
    pub(crate) fn kill_processes(&self, record: &crate::record::Record) {
        if !berth_runtime::cgroup::are_usable() {
            return match record.state.pid {
                // It never began: its first process ends with the supervisor that it waits for.
                0 => berth_supervisor::kill(&self.config.bundle_dir(&record.id)),
                pid => kill_first(pid),
            };
        }
        let Ok(cgroup) = self.cgroup(record) else { return };
        let _ = cgroup.kill_all();
        let _ = cgroup.thaw();
        if let Err(error) = cgroup.remove() {
            tracing::warn!(container = record.id, error = &error as &dyn std::error::Error, "cannot remove the cgroup");
        }
    }

    /// Drops limits whose controller this host lacks, with a warning each, as Docker does.
    pub(crate) fn discard_missing_controllers(
        &self,
        host: &mut berth_spec::model::HostConfig,
        warnings: &mut Vec<String>,
    ) {
        let available = berth_runtime::cgroup::available();
        let mut drop_if = |missing: bool, given: bool, text: &str| {
            if missing && given {
                warnings.push(text.to_owned());
            }
            missing && given
        };
        if drop_if(
            !available.memory,
            host.memory.unwrap_or(0) > 0,
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
        ) {
            host.memory = None;
            host.memory_swap = None;
        }
        if drop_if(
            !available.swap,
            host.memory_swap.unwrap_or(0) > 0,
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
        ) {
            host.memory_swap = Some(-1);
        }
        if drop_if(
            !available.pids,
            host.pids_limit.unwrap_or(0) > 0,
            "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
        ) {
            host.pids_limit = None;
        }
        if drop_if(
            !available.cpu_cfs,
            host.nano_cpus.unwrap_or(0) > 0 || host.cpu_quota.unwrap_or(0) > 0,
            "Your kernel does not support CPU cfs quota or the cgroup is not mounted. Quota discarded.",
        ) {
            host.nano_cpus = None;
            host.cpu_quota = None;
        }
        if drop_if(
            !available.cpuset,
            host.cpuset_cpus.as_deref().is_some_and(|list| !list.is_empty()),
            "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
        ) {
            host.cpuset_cpus = None;
            host.cpuset_mems = None;
        }
    }
}
