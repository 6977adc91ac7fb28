//! The container in the guest: the runtime's create, release and exec, with streams that lead to the host.

use std::{
    collections::BTreeMap,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::process::CommandExt as _,
    },
    path::{Path, PathBuf},
};

use berth_runtime::{Bundle, Container, Created, Extension, Stdio};
use oci_spec::runtime::{LinuxResources, Mount, Process, Spec};
use rustix::pipe::{PipeFlags, pipe_with};

use super::{BUNDLE, CGROUP, FILES, ROOTFS, SHARE, boot};
use crate::{
    message::{Create, Exec, FILE_PREFIX, Failure, MAIN, SHARE_PREFIX, Terminal, streams},
    mux::Mux,
};

/// A process whose end is waited for.
pub(super) struct Running {
    pub pidfd: OwnedFd,
    /// The terminal's own end, for its size.
    pub terminal: Option<OwnedFd>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Workload {
    gate: Option<Box<Created>>,
    container: Option<Container>,
    pub processes: BTreeMap<u32, Running>,
}

/// The guest's ends of a process's pipes.
struct Ends {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Workload {
    /// Makes the container, which then waits at its gate.
    pub fn create(&mut self, create: Create, mux: &mut Mux) -> Result<i32, Failure> {
        if self.gate.is_some() || self.container.is_some() {
            return Err(refused("the guest has its container already"));
        }
        let bundle = bundle(create.spec, create.init, create.groups)?;
        let (theirs, ours) = pipes(create.terminal)?;
        let stdio = stdio(&theirs, create.terminal);
        let mut created = berth_runtime::create(&bundle, stdio).map_err(|error| failure("create", &error))?;
        drop(theirs);
        let pidfd = created.container.pidfd.try_clone().map_err(|error| Failure::of("create", &error))?;
        let terminal = created.terminal.take();
        self.connect(MAIN, pidfd, terminal, ours, mux)?;
        let pid = created.container.pid;
        self.gate = Some(Box::new(created));
        Ok(pid)
    }

    /// Opens the gate.
    pub fn release(&mut self) -> Result<(), Failure> {
        let created = self.gate.take().ok_or_else(|| refused("there is no container at its gate"))?;
        let outcome = created.release().map_err(|error| failure("start", &error));
        self.container = Some(created.container);
        outcome
    }

    /// Starts another process.
    pub fn exec(&mut self, exec: &Exec, mux: &mut Mux) -> Result<i32, Failure> {
        let container = self.container.as_ref().ok_or_else(|| refused("container is not running"))?;
        if self.processes.contains_key(&exec.key) {
            return Err(refused("the process exists already"));
        }
        let (theirs, ours) = pipes(exec.terminal)?;
        let stdio = stdio(&theirs, exec.terminal);
        let process: &Process = &exec.process;
        let executed = berth_runtime::exec(container, process, stdio).map_err(|error| failure("exec", &error))?;
        drop(theirs);
        self.connect(exec.key, executed.pidfd, executed.terminal, ours, mux)?;
        Ok(executed.pid)
    }

    /// Starts the agent's own program on the container's files.
    pub fn tool(&mut self, key: u32, arguments: &[String], mux: &mut Mux) -> Result<i32, Failure> {
        if self.processes.contains_key(&key) {
            return Err(refused("the process exists already"));
        }
        let (theirs, ours) = pipes(None)?;
        let fail = |error: std::io::Error| Failure::of("tool", &error);
        let Some(Ends { stdin, stdout, stderr }) = theirs else { return Err(refused("there are no pipes")) };
        // The main process's own view of its files, while there is one.
        let gate = self.gate.as_ref().map(|created| created.container.pid);
        let pid = self.container.as_ref().map(|container| container.pid).or(gate);
        let root = pid.map_or_else(|| ROOTFS.to_owned(), |pid| format!("/proc/{pid}/root"));
        let mut command = std::process::Command::new("/proc/self/exe");
        command.arg0("berth").args(["guest", &root]).args(arguments);
        let child = command.stdin(stdin).stdout(stdout).stderr(stderr).spawn().map_err(fail)?;
        drop(command);
        let pid = child.id() as i32;
        let pidfd = berth_sys::pidfd::open(pid).map_err(|errno| fail(errno.into()))?;
        self.connect(key, pidfd, None, ours, mux)?;
        Ok(pid)
    }

    /// Changes the container's limits.
    pub fn update(&self, limits: &LinuxResources) -> Result<(), Failure> {
        let cgroup = self.cgroup().ok_or_else(|| refused("container is not running"))?;
        cgroup.update(limits).map_err(|error| Failure::of("update the limits", &error))
    }

    /// Joins a process's streams to the host's.
    fn connect(
        &mut self,
        key: u32,
        pidfd: OwnedFd,
        terminal: Option<OwnedFd>,
        ends: Option<Ends>,
        mux: &mut Mux,
    ) -> Result<(), Failure> {
        let system = |errno: rustix::io::Errno| Failure::of("connect the streams", &std::io::Error::from(errno));
        let copy =
            |descriptor: &OwnedFd| descriptor.try_clone().map_err(|error| Failure::of("connect the streams", &error));
        let [stdin, stdout, stderr] = streams(key);
        if let Some(terminal) = &terminal {
            mux.add_sink(stdin, copy(terminal)?).map_err(system)?;
            mux.add_source(stdout, copy(terminal)?, true).map_err(system)?;
        }
        if let Some(ends) = ends {
            mux.add_sink(stdin, ends.stdin).map_err(system)?;
            mux.add_source(stdout, ends.stdout, false).map_err(system)?;
            mux.add_source(stderr, ends.stderr, false).map_err(system)?;
        }
        mux.watch(pidfd.as_fd(), key).map_err(system)?;
        self.processes.insert(key, Running { pidfd, terminal });
        Ok(())
    }

    /// Sends a signal to one process, or to all.
    pub fn signal(&self, key: Option<u32>, signal: i32) -> Result<(), Failure> {
        let refuse = |errno: rustix::io::Errno| Failure::of("send the signal", &std::io::Error::from(errno));
        if let Some(key) = key {
            let process = self.processes.get(&key).ok_or_else(|| refused("the process has ended"))?;
            return berth_sys::pidfd::send_signal(process.pidfd.as_fd(), signal).map_err(refuse);
        }
        for pid in self.pids() {
            if let Ok(process) = berth_sys::pidfd::open(pid) {
                // It may have ended meanwhile.
                let _ = berth_sys::pidfd::send_signal(process.as_fd(), signal);
            }
        }
        Ok(())
    }

    /// The container's processes.
    pub fn pids(&self) -> Vec<i32> {
        self.cgroup().and_then(|cgroup| cgroup.pids().ok()).unwrap_or_default()
    }

    /// The container's control group.
    pub fn cgroup(&self) -> Option<&berth_runtime::cgroup::Cgroup> {
        let gate = self.gate.as_ref().map(|created| &created.container);
        self.container.as_ref().or(gate)?.cgroup.as_ref()
    }

    /// Kills what is left when the main process has ended.
    pub fn clear(&self) {
        if let Some(cgroup) = self.cgroup() {
            let _ = cgroup.kill_all();
        }
    }
}

/// Both ends of a process's pipes; none for a terminal.
fn pipes(terminal: Option<Terminal>) -> Result<(Option<Ends>, Option<Ends>), Failure> {
    if terminal.is_some() {
        return Ok((None, None));
    }
    let make = || {
        let ((stdin, stdin_end), (stdout_end, stdout), (stderr_end, stderr)) =
            (pipe_with(PipeFlags::CLOEXEC)?, pipe_with(PipeFlags::CLOEXEC)?, pipe_with(PipeFlags::CLOEXEC)?);
        Ok((
            Some(Ends { stdin, stdout, stderr }),
            Some(Ends { stdin: stdin_end, stdout: stdout_end, stderr: stderr_end }),
        ))
    };
    make().map_err(|errno: rustix::io::Errno| Failure::of("make pipes", &std::io::Error::from(errno)))
}

fn stdio(theirs: &Option<Ends>, terminal: Option<Terminal>) -> Stdio<'_> {
    match theirs {
        Some(ends) => {
            Stdio::Streams { stdin: ends.stdin.as_fd(), stdout: ends.stdout.as_fd(), stderr: ends.stderr.as_fd() }
        }
        None => Stdio::Terminal { size: terminal.and_then(|terminal| terminal.size) },
    }
}

/// The bundle that the runtime takes: the host's specification with the guest's own places in it.
fn bundle(mut spec: Spec, init: bool, groups: Vec<String>) -> Result<Bundle, Failure> {
    if let Some(root) = spec.root_mut() {
        root.set_path(PathBuf::from(ROOTFS));
    }
    if let Some(linux) = spec.linux_mut() {
        linux.set_cgroups_path(Some(PathBuf::from(CGROUP)));
    }
    for mount in spec.mounts_mut().iter_mut().flatten() {
        if let Some(place) = place(mount)? {
            mount.set_source(Some(place));
        }
    }
    let dir = PathBuf::from(BUNDLE);
    boot::make_directory(&dir).map_err(|error| Failure::of("bundle", &error))?;
    let extension = Extension { init, groups, ..Extension::default() };
    Ok(Bundle { dir, spec, extension })
}

/// Where a source of the host's is in the guest.
fn place(mount: &Mount) -> Result<Option<PathBuf>, Failure> {
    let Some(source) = mount.source().as_ref().and_then(|source| source.to_str()) else { return Ok(None) };
    let below = |parent: &str, name: &str| {
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        let failure = || refused(&format!("{name:?} is no number of a shared file"));
        if plain { Ok(Some(Path::new(parent).join(name))) } else { Err(failure()) }
    };
    match (source.strip_prefix(FILE_PREFIX), source.strip_prefix(SHARE_PREFIX)) {
        (Some(name), _) => below(FILES, name),
        (_, Some(name)) => below(SHARE, name),
        _ => Ok(None),
    }
}

fn refused(message: &str) -> Failure {
    Failure { step: "state".to_owned(), errno: 0, message: message.to_owned() }
}

/// What the runtime said: its init's own words, or the error with its causes.
fn failure(step: &str, error: &berth_runtime::Error) -> Failure {
    match error.failure() {
        Some(said) => Failure { step: said.step.clone(), errno: said.errno, message: said.message.clone() },
        None => Failure::of(step, error),
    }
}
