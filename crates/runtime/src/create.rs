//! Making a container, up to the gate and through it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use berth_sys::clone::Side;
use berth_sys::message::MAX_DESCRIPTORS;
use berth_sys::namespace::bit;
use oci_spec::runtime::{ContainerState, LinuxSeccomp, State};

use crate::bundle::Bundle;
use crate::cgroup::{self, Cgroup, CgroupPath, systemd};
use crate::error::{Error, Result};
use crate::gate::{self, Gate, Order, Report};
use crate::id_map::IdMaps;
use crate::init::Barrier;
use crate::latch::Latch;
use crate::listener::Listener;
use crate::mount::control::Directories;
use crate::mount::prepare;
use crate::plan::Plan;
use crate::process::{ProcessPlan, filter};
use crate::seccomp::Program;
use crate::stdio::Stdio;
use crate::{hook, init, label, limit, listener, schedule};

/// A running container, as far as later work on it needs to know.
#[derive(Debug)]
pub struct Container {
    /// Its process 1, as the caller sees it.
    pub pid: i32,
    /// The same as a descriptor.
    pub pidfd: OwnedFd,
    /// Its control groups; `None` when the specification names no path.
    pub cgroup: Option<Cgroup>,
    /// `CLONE_NEW*` bits of the namespaces that are not the host's.
    pub(crate) namespaces: u64,
    pub(crate) id_maps: IdMaps,
    pub(crate) filter: Option<Program>,
    pub(crate) seccomp: Option<LinuxSeccomp>,
    pub(crate) groups: Vec<String>,
    /// What an agent of the filter is told about it; of containers that were opened again.
    pub(crate) state: Option<State>,
}

/// A container that waits at the gate. Dropping it before the release ends it.
#[derive(Debug)]
pub struct Created {
    /// The container.
    pub container: Container,
    /// The master of its terminal, when it has one.
    pub terminal: Option<OwnedFd>,
    /// What did not go as asked, in sentences for a person.
    pub warnings: Vec<String>,
    gate: Gate,
}

impl Created {
    /// Lets init execute the program; returns when it runs, or says why it does not ([`Error::Init`]). A program that
    /// could not be executed leaves a process that has ended and must be collected.
    pub fn release(&self) -> Result<()> {
        self.gate.order(Order::Go, &[], &[])?;
        self.gate.executed()
    }
}

/// What is different for a container that outlives its maker, and is started by another process.
#[derive(Debug)]
pub struct Deferred<'a> {
    /// Holds the container until it is started.
    pub latch: &'a Latch,
    /// What hooks and listeners are told; the process id is filled in.
    pub state: State,
    /// How many of the caller's descriptors from 3 on the program keeps.
    pub kept: u32,
}

/// Makes the container of a bundle; its hooks up to the start are run. The caller must have a single thread. On failure nothing is left behind.
///
/// The order: control groups; clone; id maps; the container's own file systems (init) beside the host's mounts (maker);
/// all attached (init); ready. Meanwhile the caller may already work on `/proc/<pid>/ns/net`.
pub fn create(bundle: &Bundle, stdio: Stdio<'_>) -> Result<Created> {
    make(bundle, stdio, None)
}

/// As [`create`], but the container waits for its latch instead of [`Created::release`].
pub fn create_latched(bundle: &Bundle, stdio: Stdio<'_>, deferred: &Deferred<'_>) -> Result<Created> {
    make(bundle, stdio, Some(deferred))
}

fn make(bundle: &Bundle, stdio: Stdio<'_>, deferred: Option<&Deferred<'_>>) -> Result<Created> {
    let missing = || Error::InvalidSpec { field: "process", reason: String::from("it is missing") };
    let process = bundle.spec.process().as_ref().ok_or_else(missing)?;
    label::check(process)?;
    let seccomp = bundle.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let filter = filter(seccomp)?;
    let listener = Listener::connect(seccomp, filter.as_ref())?;
    let process = ProcessPlan {
        process,
        filter: filter.as_ref(),
        groups: &bundle.extension.groups,
        listener: listener.as_ref(),
        kept: deferred.map_or(0, |deferred| deferred.kept),
    };
    let mut plan = Plan::of(bundle, process)?;
    plan.hooks = bundle.spec.hooks().as_ref();
    let mut birth = Birth::default();
    birth.make_cgroup(&plan)?;
    let outside = birth.spawn(&plan, &stdio, deferred.map(|deferred| deferred.latch))?;
    let namespace = birth.map_ids(&plan, &outside)?;
    let prepared = prepare::all(&plan, namespace.as_ref().map(File::as_fd))?;
    send_mounts(&outside, &prepared.mounts)?;
    let state = match deferred {
        Some(deferred) => birth.state(deferred.state.clone()),
        None if plan.tells_state() => birth.state(bundle.state()),
        None => State::default(),
    };
    run_hooks(&plan, &outside, &state)?;
    birth.show_cgroup(&plan, &outside)?;
    if plan.wants_state() {
        outside.order(Order::State, &listener::words(&state, seccomp, birth.pid)?, &[])?;
    }
    // Beside the init's own work.
    drop((prepared.mounts, prepared.scaffold));
    let mut warnings = prepared.warnings;
    let (report, terminal) = outside.report("preparation")?;
    if let Report::Ready { uid, gid, warnings: said } = report {
        let (uid, gid) = birth.id_maps.to_host(uid, gid);
        stdio.give_to(uid, gid).map_err(Error::process("give the standard streams to the container's user"))?;
        warnings.extend(said);
    }
    // Only now: the steps so far may need more than the program is to have.
    warnings.extend(limit::apply(birth.pid, plan.process.process)?);
    schedule::apply(birth.pid, plan.process.process)?;
    let namespaces = plan.namespaces.own();
    let groups = bundle.extension.groups.clone();
    drop(listener);
    let container = birth.finish(namespaces, filter, groups)?;
    Ok(Created { container, terminal, warnings, gate: outside })
}

/// What exists of a container that is being made; undone when dropped unfinished.
#[derive(Debug, Default)]
struct Birth {
    pid: i32,
    pidfd: Option<OwnedFd>,
    cgroup: Option<Cgroup>,
    /// While the maker itself keeps systemd's scope from being empty.
    visit: Option<systemd::Visit>,
    id_maps: IdMaps,
}

impl Birth {
    /// Init is born in its group (version 2) or enters it first of all (version 1).
    fn make_cgroup(&mut self, plan: &Plan<'_>) -> Result<()> {
        if let Some(path) = plan.linux.cgroups_path() {
            let path = CgroupPath::parse(&path.to_string_lossy())?;
            if !cgroup::are_usable() {
                // An engine without root, to which none are delegated: it says so (`info`), and limits were refused.
                return Ok(());
            }
            if plan.systemd {
                let (cgroup, visit) = systemd::start(&path, plan.linux.resources().as_ref())?;
                (self.cgroup, self.visit) = (Some(cgroup), Some(visit));
            } else {
                self.cgroup = Some(Cgroup::create(&path, plan.linux.resources().as_ref())?);
            }
        }
        Ok(())
    }

    /// Clones init, which goes its own way, and keeps the maker's end of the gate.
    fn spawn(&mut self, plan: &Plan<'_>, stdio: &Stdio<'_>, latch: Option<&Latch>) -> Result<Gate> {
        let (outside, inside) = gate::pair()?;
        let directory = self.cgroup.as_ref().and_then(Cgroup::directory_fd);
        let offsets = plan.linux.time_offsets().as_ref();
        // SAFETY: the caller of `create` has a single thread, and init::run never returns.
        match unsafe { plan.namespaces.spawn(directory, offsets) }? {
            Side::Child => {
                // With a copy of it open, init would never notice that the maker is gone.
                drop(outside);
                init::run(plan, stdio, &Barrier { gate: &inside, latch }, self.cgroup.as_ref())
            }
            Side::Parent { pid, pidfd } => {
                self.pid = pid;
                self.pidfd = Some(pidfd);
                self.visit.take().map_or(Ok(()), systemd::Visit::leave)?;
                Ok(outside)
            }
        }
    }

    /// Writes the id maps, tells init, and opens its user namespace.
    fn map_ids(&mut self, plan: &Plan<'_>, gate: &Gate) -> Result<Option<File>> {
        if !plan.namespaces.has_user() {
            gate.order(Order::Maps, &[], &[])?;
            return Ok(None);
        }
        if plan.namespaces.new & bit::USER != 0 {
            plan.id_maps.write(self.pid)?;
            self.id_maps = plan.id_maps.clone();
        } else {
            self.id_maps = IdMaps::read(self.pid)?;
        }
        gate.order(Order::Maps, &[], &[])?;
        let path = std::path::PathBuf::from(format!("/proc/{}/ns/user", self.pid));
        File::open(&path).map(Some).map_err(|source| Error::JoinNamespace { path, source })
    }

    /// Sends the directories of the control groups, when the container shall see them.
    fn show_cgroup(&self, plan: &Plan<'_>, gate: &Gate) -> Result<()> {
        let shown = self.cgroup.as_ref().filter(|_| plan.wants_control());
        let directories = shown
            .map(|cgroup| Directories::of(cgroup, plan.namespaces.new & bit::CGROUP != 0))
            .transpose()?
            .unwrap_or_default();
        let names = serde_json::to_vec(&directories.names)
            .map_err(|source| Error::ParseBundle { path: "the list of cgroup hierarchies".into(), source })?;
        let trees: Vec<BorrowedFd<'_>> = directories.trees.iter().map(AsFd::as_fd).collect();
        gate.order(Order::Control, &names, &trees)
    }

    /// What hooks are told.
    fn state(&self, mut state: State) -> State {
        state.set_pid(Some(self.pid)).set_status(ContainerState::Creating);
        state
    }

    fn finish(mut self, namespaces: u64, filter: Option<Program>, groups: Vec<String>) -> Result<Container> {
        let pidfd = self.pidfd.take().ok_or(Error::InitGone { step: "start" })?;
        let (cgroup, id_maps) = (self.cgroup.take(), std::mem::take(&mut self.id_maps));
        Ok(Container { pid: self.pid, pidfd, cgroup, namespaces, id_maps, filter, groups, state: None, seccomp: None })
    }
}

impl Drop for Birth {
    fn drop(&mut self) {
        if let Some(pidfd) = self.pidfd.take() {
            // It may have ended already; what matters is that it is collected.
            let _ = berth_sys::pidfd::send_signal(pidfd.as_fd(), libc::SIGKILL);
            let _ = berth_sys::pidfd::wait(pidfd.as_fd());
        }
        if let Some(visit) = self.visit.take() {
            let _ = visit.leave();
        }
        if let Some(cgroup) = self.cgroup.take() {
            // The failure that led here is the one to tell.
            let _ = cgroup.remove();
        }
    }
}

/// Runs the hooks that belong to the host's side, when the container's file systems are there.
fn run_hooks(plan: &Plan<'_>, gate: &Gate, state: &State) -> Result<()> {
    let Some(hooks) = plan.hooks.filter(|_| plan.waits_for_hooks()) else { return Ok(()) };
    gate.report("mounts")?;
    let failed = |message| Error::Hook { message };
    hook::run("prestart", hooks.prestart().as_ref(), state).map_err(failed)?;
    hook::run("createRuntime", hooks.create_runtime().as_ref(), state).map_err(failed)
}

/// Sends the prepared mounts in as few messages as they fit in.
fn send_mounts(gate: &Gate, mounts: &[OwnedFd]) -> Result<()> {
    let mut chunks = mounts.chunks(MAX_DESCRIPTORS).peekable();
    while let Some(chunk) = chunks.next() {
        let order = if chunks.peek().is_some() { Order::Mounts } else { Order::LastMounts };
        let borrowed: Vec<BorrowedFd<'_>> = chunk.iter().map(AsFd::as_fd).collect();
        gate.order(order, &[], &borrowed)?;
    }
    Ok(())
}
