//! Starting another process in a running container.

use std::os::fd::{AsFd, OwnedFd};

use berth_sys::clone::{Clone3, Side, clone3};
use berth_sys::namespace::{bit, join};
use berth_sys::process as own;
use berth_sys::user_namespace;
use oci_spec::runtime::Process;

use crate::cgroup::Cgroup;
use crate::create::Container;
use crate::error::{Error, Failure, Result};
use crate::gate::{self, Gate, Inside, Order, Report};
use crate::init::{become_root, enter_cgroup};
use crate::listener::{self, Listener};
use crate::namespace::{Visit, spawn_between};
use crate::plan::check_process;
use crate::process::{ProcessPlan, root};
use crate::stdio::Stdio;
use crate::{label, limit, schedule, terminal};

/// A process that runs its program in a container.
#[derive(Debug)]
pub struct Executed {
    /// As the caller sees it.
    pub pid: i32,
    /// The same as a descriptor; readable when the process has ended. The caller collects it.
    pub pidfd: OwnedFd,
    /// The master of its terminal, when it has one.
    pub terminal: Option<OwnedFd>,
    /// What did not go as asked, in sentences for a person.
    pub warnings: Vec<String>,
}

/// Starts `process` in the container, in all its namespaces and control groups. The caller must have a single thread
/// and have made the container, or opened it again. Returns when the program runs; on failure nothing is left behind.
pub fn exec(container: &Container, process: &Process, stdio: Stdio<'_>) -> Result<Executed> {
    exec_keeping(container, process, stdio, 0)
}

/// As [`exec`], and the program keeps so many of the caller's descriptors from 3 on.
pub fn exec_keeping(container: &Container, process: &Process, stdio: Stdio<'_>, kept: u32) -> Result<Executed> {
    check_process(process)?;
    label::check(process)?;
    let listener = Listener::connect(container.seccomp.as_ref(), container.filter.as_ref())?;
    let (filter, groups) = (container.filter.as_ref(), container.groups.as_slice());
    let plan = ProcessPlan { process, filter, groups, listener: listener.as_ref(), kept };
    let (child, outside) = spawn(container, &plan, &stdio)?;
    let pid = child.pid();
    let affinity = process.exec_cpu_affinity().as_ref();
    schedule::pin(pid, affinity.and_then(|affinity| affinity.initial().as_ref()))?;
    let mut warnings = Vec::new();
    let (report, terminal) = outside.report("preparation")?;
    if let Report::Ready { uid, gid, warnings: said } = report {
        let (uid, gid) = container.id_maps.to_host(uid, gid);
        stdio.give_to(uid, gid).map_err(Error::process("give the standard streams to the container's user"))?;
        warnings.extend(said);
    }
    warnings.extend(limit::apply(pid, process)?);
    schedule::apply(pid, process)?;
    schedule::pin(pid, affinity.and_then(|affinity| affinity.cpu_affinity_final().as_ref()))?;
    let words = match (&container.state, &listener) {
        (Some(state), Some(_)) => listener::words(state, container.seccomp.as_ref(), pid)?,
        _ => Vec::new(),
    };
    outside.order(Order::Go, &words, &[])?;
    outside.executed()?;
    let (pid, pidfd) = child.born()?;
    Ok(Executed { pid, pidfd, terminal, warnings })
}

/// A child that is killed and collected unless its program runs.
struct Unborn(Option<(i32, OwnedFd)>);

impl Unborn {
    fn pid(&self) -> i32 {
        self.0.as_ref().map_or(0, |(pid, _)| *pid)
    }

    fn born(mut self) -> Result<(i32, OwnedFd)> {
        self.0.take().ok_or(Error::InitGone { step: "start" })
    }
}

impl Drop for Unborn {
    fn drop(&mut self) {
        if let Some((_, pidfd)) = self.0.take() {
            // It has usually ended by itself; what matters is that it is collected.
            let _ = berth_sys::pidfd::send_signal(pidfd.as_fd(), libc::SIGKILL);
            let _ = berth_sys::pidfd::wait(pidfd.as_fd());
        }
    }
}

/// Clones the child. The pid namespace counts at the clone, so the maker visits it; all others the child joins.
fn spawn(container: &Container, plan: &ProcessPlan<'_>, stdio: &Stdio<'_>) -> Result<(Unborn, Gate)> {
    let (outside, inside) = gate::pair()?;
    let between = entered_between(container);
    // SAFETY: the caller of `exec` has a single thread, and `run` never returns.
    match unsafe { clone_inside(container, between) }? {
        Side::Child => {
            // With a copy of it open, this process would never notice that the maker is gone.
            drop(outside);
            run(container, plan, stdio, &Way { gate: &inside, joined: bit::PID | between })
        }
        Side::Parent { pid, pidfd } => Ok((Unborn(Some((pid, pidfd))), outside)),
    }
}

/// The namespaces that a go-between enters before the clone, because the maker could not come back from them: that of
/// process numbers without the machine's root, and for an ordinary user only together with the one that gives the right.
fn entered_between(container: &Container) -> u64 {
    let pids = container.namespaces & bit::PID;
    if !rustix::process::geteuid().is_root() {
        return pids | (container.namespaces & bit::USER);
    }
    if user_namespace::is_nested() { pids } else { 0 }
}

/// # Safety
/// As for [`clone3`].
unsafe fn clone_inside(container: &Container, between: u64) -> Result<Side> {
    let request = Clone3 { cgroup: container.cgroup.as_ref().and_then(Cgroup::directory_fd), ..Clone3::default() };
    if between != 0 {
        let pidfd =
            container.pidfd.try_clone().map_err(|source| Error::Process { act: "copy a descriptor", source })?;
        // SAFETY: the caller vouches for a single thread.
        return unsafe { spawn_between(&Clone3 { sibling: true, ..request }, &[(between, pidfd)], None) };
    }
    let mut visit = Visit::default();
    if container.namespaces & bit::PID != 0 {
        visit.enter(bit::PID, container.pidfd.as_fd())?;
    }
    // SAFETY: the caller vouches for a single thread.
    let side = unsafe { clone3(&request) };
    if matches!(side, Ok(Side::Child)) {
        // The child stays where it is.
        std::mem::forget(visit);
    }
    side.map_err(Error::process("clone a process for the container"))
}

/// What the child is given on its way.
struct Way<'a> {
    gate: &'a Inside,
    /// The namespaces that it was born into.
    joined: u64,
}

/// The child's way to its program. Never returns.
fn run(container: &Container, plan: &ProcessPlan<'_>, stdio: &Stdio<'_>, way: &Way<'_>) -> ! {
    let failure = match steps(container, plan, stdio, way) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    way.gate.tell(&Report::Failed(failure), None);
    own::exit_now(1)
}

fn steps(
    container: &Container,
    plan: &ProcessPlan<'_>,
    stdio: &Stdio<'_>,
    way: &Way<'_>,
) -> std::result::Result<std::convert::Infallible, Failure> {
    let gate = way.gate;
    // The container's processes see this one from now on; they may not look into it.
    own::set_dumpable(false).map_err(|errno| Failure::kernel("start", "cannot become undumpable", errno))?;
    enter_cgroup(container.cgroup.as_ref())?;
    join(container.pidfd.as_fd(), container.namespaces & !way.joined)
        .map_err(|errno| Failure::kernel("namespace", "cannot join the container's namespaces", errno))?;
    become_root(container.namespaces & bit::USER != 0)?;
    let root = root()?;
    let identity = plan.identity(root.as_fd())?;
    let pair = match stdio {
        Stdio::Terminal { size } => Some(terminal::allocate(root.as_fd(), *size)?),
        Stdio::Streams { .. } => None,
    };
    let slave = pair.as_ref().map(|pair| &pair.slave);
    terminal::lead_session(slave)?;
    if let Some(slave) = slave {
        terminal::give_to(slave, identity.uid)?;
    }
    stdio.place(slave).map_err(|errno| Failure::kernel("stdio", "cannot place the standard streams", errno))?;
    plan.enter_directory(root.as_fd(), false)?;
    let report = Report::Ready { uid: identity.uid, gid: identity.gid, warnings: Vec::new() };
    gate.tell(&report, pair.as_ref().map(|pair| &pair.master));
    let (words, _) = gate.wait(Order::Go)?;
    plan.confine(&identity, &words)?;
    Err(plan.execute(&identity))
}
