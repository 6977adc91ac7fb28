//! Isolation by kernel namespaces and control groups: berth's own runtime.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use berth_runtime::{Bundle, Container, Created, hook};
use oci_spec::runtime::{ContainerState, Hook, Hooks, Process, State};

use super::{Child, Ended, Isolation, Stdio};
use crate::protocol::Failure;

/// Where a container stands in its life.
enum Stage {
    Bundle(Box<Bundle>),
    Gate(Box<Created>),
    Running(Box<Container>),
    Gone,
}

/// See the module.
pub struct Namespaces {
    stage: Stage,
    late: Option<Box<LateHooks>>,
}

/// Hooks that are run when the container has started, and when it is gone.
struct LateHooks {
    hooks: Hooks,
    state: State,
}

impl LateHooks {
    fn of(bundle: &Bundle) -> Option<Box<Self>> {
        let hooks = bundle.spec.hooks().clone()?;
        Some(Box::new(Self { hooks, state: bundle.state() }))
    }

    /// Runs one point's hooks. The container goes on whatever they do (runtime specification, "Lifecycle").
    fn run(&mut self, point: &str, status: ContainerState, pid: Option<i32>) {
        let hooks: Option<&Vec<Hook>> = match status {
            ContainerState::Stopped => self.hooks.poststop().as_ref(),
            _ => self.hooks.poststart().as_ref(),
        };
        self.state.set_status(status).set_pid(pid);
        if let Err(message) = hook::run(point, hooks, &self.state) {
            eprintln!("{message}");
        }
    }
}

impl Namespaces {
    /// Reads a bundle; also tells whether the container has a terminal.
    ///
    /// # Errors
    /// What is wrong with the bundle.
    pub fn load(bundle: &Path) -> Result<(Self, bool), Failure> {
        let bundle = Bundle::load(bundle).map_err(|error| failure("bundle", &error))?;
        let tty = bundle.spec.process().as_ref().and_then(Process::terminal).unwrap_or(false);
        let late = LateHooks::of(&bundle);
        Ok((Self { stage: Stage::Bundle(Box::new(bundle)), late }, tty))
    }

    fn container(&self) -> Result<&Container, Failure> {
        match &self.stage {
            Stage::Gate(created) => Ok(&created.container),
            Stage::Running(container) => Ok(container),
            Stage::Bundle(_) | Stage::Gone => Err(Failure::new("state", "container is not running")),
        }
    }
}

impl Isolation for Namespaces {
    fn create(&mut self, stdio: Stdio) -> Result<Child, Failure> {
        let Stage::Bundle(bundle) = std::mem::replace(&mut self.stage, Stage::Gone) else {
            return Err(Failure::new("state", "container is already created"));
        };
        let mut created =
            berth_runtime::create(&bundle, borrowed(&stdio)).map_err(|error| failure("create", &error))?;
        restore_oom_score(created.container.pid, bundle.spec.process().as_ref());
        let child = child(created.container.pid, &created.container.pidfd, created.terminal.take())?;
        self.stage = Stage::Gate(Box::new(created));
        Ok(child)
    }

    fn release(&mut self) -> Result<(), Failure> {
        match std::mem::replace(&mut self.stage, Stage::Gone) {
            Stage::Gate(created) => {
                let outcome = created.release().map_err(|error| failure("start", &error));
                let pid = created.container.pid;
                self.stage = Stage::Running(Box::new(created.container));
                if let (Ok(()), Some(late)) = (&outcome, &mut self.late) {
                    late.run("poststart", ContainerState::Running, Some(pid));
                }
                outcome
            }
            other => {
                self.stage = other;
                Err(Failure::new("state", "container is already started"))
            }
        }
    }

    fn exec(&mut self, process: &Process, stdio: Stdio) -> Result<Child, Failure> {
        let container = self.container()?;
        // A process that joins a frozen cgroup would never answer.
        if container.cgroup.as_ref().is_some_and(|cgroup| cgroup.is_frozen().unwrap_or(false)) {
            return Err(Failure::new("state", "container is paused, unpause the container before exec"));
        }
        let executed =
            berth_runtime::exec(container, process, borrowed(&stdio)).map_err(|error| failure("exec", &error))?;
        restore_oom_score(executed.pid, Some(process));
        Ok(Child { pid: executed.pid, ended: executed.pidfd, terminal: executed.terminal })
    }

    fn collect(&mut self, child: &Child) -> Option<Ended> {
        berth_sys::pidfd::try_wait(child.ended.as_fd()).ok().flatten()
    }

    fn signal(&mut self, child: &Child, signal: i32) -> Result<(), Failure> {
        berth_sys::pidfd::send_signal(child.ended.as_fd(), signal)
            .map_err(|errno| Failure::errno("send the signal", errno))
    }

    fn signal_all(&mut self, signal: i32) -> Result<(), Failure> {
        let container = self.container()?;
        let refused = |errno| Failure::errno("send the signal", errno);
        match &container.cgroup {
            Some(cgroup) if signal == libc::SIGKILL => cgroup.kill_all().map_err(|error| failure("kill", &error)),
            Some(cgroup) => {
                for pid in cgroup.pids().map_err(|error| failure("list processes", &error))? {
                    // Those that have ended meanwhile need no signal.
                    if let Ok(process) = berth_sys::pidfd::open(pid) {
                        let _ = berth_sys::pidfd::send_signal(process.as_fd(), signal);
                    }
                }
                Ok(())
            }
            None => berth_sys::pidfd::send_signal(container.pidfd.as_fd(), signal).map_err(refused),
        }
    }

    fn oom_watch(&mut self) -> Option<OwnedFd> {
        // Without a watch the count is still read at the end.
        self.container().ok()?.cgroup.as_ref()?.oom_watch().ok().flatten()
    }

    fn oom_kills(&mut self) -> u64 {
        let cgroup = self.container().ok().and_then(|container| container.cgroup.as_ref());
        cgroup.and_then(|cgroup| cgroup.oom_kills().ok()).unwrap_or(0)
    }

    fn clear(&mut self) {
        // With a pid namespace of its own the kernel has killed them all already.
        if let Some(cgroup) = self.container().ok().and_then(|container| container.cgroup.as_ref())
            && cgroup.pids().is_ok_and(|pids| !pids.is_empty())
        {
            let _ = cgroup.kill_all();
        }
    }

    fn remove(&mut self) {
        // A cgroup that stays is found and removed by whoever removes the container.
        if let Some(cgroup) = self.container().ok().and_then(|container| container.cgroup.as_ref()) {
            let _ = cgroup.remove();
        }
        if let Some(late) = &mut self.late {
            late.run("poststop", ContainerState::Stopped, None);
        }
    }
}

fn child(pid: i32, pidfd: &OwnedFd, terminal: Option<OwnedFd>) -> Result<Child, Failure> {
    let ended =
        pidfd.try_clone().map_err(|error| Failure::new("create", format!("cannot watch process 1: {error}")))?;
    Ok(Child { pid, ended, terminal })
}

fn borrowed(stdio: &Stdio) -> berth_runtime::Stdio<'_> {
    match stdio {
        Stdio::Pipes { stdin, stdout, stderr } => {
            berth_runtime::Stdio::Streams { stdin: stdin.as_fd(), stdout: stdout.as_fd(), stderr: stderr.as_fd() }
        }
        Stdio::Terminal { size } => berth_runtime::Stdio::Terminal { size: *size },
    }
}

/// Containers do not inherit the protection of daemon and supervisor from the out-of-memory killer.
fn restore_oom_score(pid: i32, process: Option<&Process>) {
    let asked = process.and_then(Process::oom_score_adj).is_some_and(|score| score != 0);
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    if !asked && !matches!(own.trim(), "" | "0") {
        // The process may have ended; nothing else can refuse to raise a score.
        let _ = std::fs::write(format!("/proc/{pid}/oom_score_adj"), "0");
    }
}

/// A runtime error for the daemon: init's own words, or the error with its causes.
pub(super) fn failure(step: &str, error: &(impl std::error::Error + Reported + 'static)) -> Failure {
    if let Some(said) = error.said() {
        return Failure { step: said.step.clone(), errno: said.errno, message: said.message.clone() };
    }
    let mut errno = 0;
    let (mut message, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        errno = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error).unwrap_or(errno);
        source = cause.source();
    }
    Failure { step: step.to_owned(), errno, message }
}

/// Errors that may carry what the container's init said.
pub(super) trait Reported {
    fn said(&self) -> Option<&berth_runtime::Failure> {
        None
    }
}

impl Reported for berth_runtime::Error {
    fn said(&self) -> Option<&berth_runtime::Failure> {
        self.failure()
    }
}

impl Reported for berth_runtime::cgroup::Error {}
