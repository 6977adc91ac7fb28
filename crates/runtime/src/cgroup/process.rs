//! The processes of a cgroup: moving one in, listing them, killing them all.

use std::collections::BTreeSet;
use std::io;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::create::inherit_cpuset;
use super::error::{Error, Result};
use super::layout::{Controller, Hierarchy};
use super::remove::children;
use super::{Cgroup, file};

/// How deep below a container's cgroup its own sub-cgroups are followed.
pub(super) const MAX_DEPTH: usize = 16;
/// How often and how long killing waits for processes to be gone: 2 s together.
const KILL_ROUNDS: usize = 200;
const KILL_PAUSE: Duration = Duration::from_millis(10);

impl Cgroup {
    /// Moves process `pid` (of the caller's PID namespace) into the cgroup, in all hierarchies.
    pub fn add(&self, pid: i32) -> Result<()> {
        let value = pid.to_string();
        for hierarchy in &self.layout.hierarchies {
            let procs = self.control("cgroup.procs");
            let joined = match file::write_text(hierarchy.root(), &procs, &value) {
                Err(e) if e.raw_os_error() == Some(libc::ENOSPC) && hierarchy.has(Controller::Cpuset) => {
                    inherit_cpuset(hierarchy, &self.relative)
                        .and_then(|()| file::write_text(hierarchy.root(), &procs, &value))
                }
                // v2: the container handed controllers to its own sub-cgroups, so its processes live in those.
                Err(e) if e.raw_os_error() == Some(libc::EBUSY) && self.layout.is_v2() => {
                    self.add_to_inhabited(hierarchy, &value).unwrap_or(Err(e))
                }
                other => other,
            };
            joined.map_err(|source| Error::Join { path: hierarchy.display(&self.relative), pid, source })?;
        }
        Ok(())
    }

    /// Joins the first sub-cgroup that holds processes; `None` if there is none.
    fn add_to_inhabited(&self, hierarchy: &Hierarchy, pid: &str) -> Option<io::Result<()>> {
        let mut inhabited = None;
        visit(hierarchy, &self.relative, MAX_DEPTH, &mut |relative, pids| {
            if inhabited.is_none() && !pids.is_empty() {
                inhabited = Some(relative.to_owned());
            }
        })
        .ok()?;
        Some(file::write_text(hierarchy.root(), &format!("{}/cgroup.procs", inhabited?), pid))
    }

    /// All processes in it and in its sub-cgroups, in ascending order, as seen from the caller's PID namespace.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let mut all = BTreeSet::new();
        let hierarchy = self.primary();
        // A process that is not visible in the caller's PID namespace is listed as 0.
        visit(hierarchy, &self.relative, MAX_DEPTH, &mut |_, pids| all.extend(pids.iter().filter(|pid| **pid > 0)))
            .map_err(|source| Error::Read { path: self.display(), file: "cgroup.procs".into(), source })?;
        Ok(all.into_iter().collect())
    }

    /// Kills every process with SIGKILL and waits until they have left, at most two seconds.
    ///
    /// Zombies count as gone on v2 and once reaped on v1, so the caller keeps reaping its children.
    pub fn kill_all(&self) -> Result<()> {
        if self.layout.is_v2() && self.write(self.primary(), "cgroup.kill", "1").is_ok() {
            return self.await_empty();
        }
        for round in 0..KILL_ROUNDS {
            let pids = self.pids()?;
            if pids.is_empty() {
                return Ok(());
            }
            // Frozen, they cannot fork while the list is walked; a frozen task dies when it is thawed.
            let frozen = round == 0 && pids.len() > 1 && self.freeze().is_ok();
            let listed = if frozen { self.pids()? } else { pids };
            for pid in listed.iter().filter_map(|pid| Pid::from_raw(*pid)) {
                // Already gone is as wanted.
                let _ = kill_process(pid, Signal::KILL);
            }
            if round == 0 {
                // Also for one that was paused before: a frozen process cannot die.
                let _ = self.thaw();
            }
            sleep(KILL_PAUSE.min(Duration::from_millis(1 << round.min(4))));
        }
        self.await_empty()
    }

    fn await_empty(&self) -> Result<()> {
        for round in 0..KILL_ROUNDS {
            if self.pids()?.is_empty() {
                return Ok(());
            }
            sleep(KILL_PAUSE.min(Duration::from_millis(1 << round.min(4))));
        }
        Err(Error::Kill { path: self.display(), count: self.pids()?.len() })
    }
}

/// Calls `see` with each cgroup from `relative` down and its processes; those removed meanwhile are skipped.
fn visit(hierarchy: &Hierarchy, relative: &str, depth: usize, see: &mut dyn FnMut(&str, &[i32])) -> io::Result<()> {
    match file::read_text(hierarchy.root(), &format!("{relative}/cgroup.procs")) {
        Ok(text) => see(relative, &text.lines().filter_map(|line| line.trim().parse().ok()).collect::<Vec<i32>>()),
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => return Ok(()),
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
        Err(e) => return Err(e),
    }
    if depth > 0 {
        for child in children(hierarchy, relative) {
            visit(hierarchy, &child, depth - 1, see)?;
        }
    }
    Ok(())
}
