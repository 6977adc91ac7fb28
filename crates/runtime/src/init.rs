//! The container's init: the steps from the first instruction in new namespaces to the gate, and on to `execve`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use berth_kit::crash;
use berth_kit::guard::{Guard, stands};
use berth_sys::{namespace, process};
use oci_spec::runtime::Hook;
use rustix::fs::OFlags;

use crate::cgroup::Cgroup;
use crate::error::Failure;
use crate::gate::{Inside, Order, Report};
use crate::latch::Latch;
use crate::mount::control::Directories;
use crate::mount::{attach, control, filesystem, mask};
use crate::path;
use crate::plan::Plan;
use crate::process::root;
use crate::stdio::Stdio;
use crate::user::Identity;
use crate::{hook, listener, reaper, rootfs, schedule, sysctl, terminal};

/// What init waits behind.
pub(crate) struct Barrier<'a> {
    /// The talk with the maker.
    pub(crate) gate: &'a Inside,
    /// Holds it instead of the gate from [`Report::Ready`] on.
    pub(crate) latch: Option<&'a Latch>,
}

/// What is kept from the preparation for the time behind the gate.
struct Ready {
    identity: Identity,
    /// `/proc/sys` as it was before the masks.
    settings: Option<OwnedFd>,
    /// For hooks, and the agent of the system-call filter.
    words: Vec<u8>,
}

/// The whole life of init before the program. Never returns.
pub(crate) fn run(plan: &Plan<'_>, stdio: &Stdio<'_>, barrier: &Barrier<'_>, cgroup: Option<&Cgroup>) -> ! {
    let ready = prepare(plan, stdio, barrier, cgroup);
    let late = ready.is_ok() && barrier.latch.is_some();
    let failure = match ready.and_then(|ready| start(plan, stdio, barrier, &ready)) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    if late {
        // The maker has left; whoever reads the container's output is all there is.
        let _ = rustix::io::write(rustix::stdio::stderr(), format!("berth: {}\n", failure.message).as_bytes());
        process::exit_now(failure.exit_code());
    }
    barrier.gate.tell(&Report::Failed(failure), None);
    process::exit_now(1)
}

/// Everything up to the gate.
fn prepare(
    plan: &Plan<'_>,
    stdio: &Stdio<'_>,
    barrier: &Barrier<'_>,
    cgroup: Option<&Cgroup>,
) -> Result<Ready, Failure> {
    let gate = barrier.gate;
    // Nobody in the container may look into this process while it is still the engine's.
    process::set_dumpable(false).map_err(|errno| Failure::kernel("start", "cannot become undumpable", errno))?;
    enter_cgroup(cgroup)?;
    gate.wait(Order::Maps)?;
    become_root(plan.namespaces.has_user())?;
    // Made while the maker prepares its own mounts.
    let mut made = filesystem::all(&plan.mounts)?;
    name_host(plan)?;
    let mut received = gate.mounts()?.into_iter();
    let tree = received.next().ok_or_else(|| missing("the root file system"))?;
    rootfs::attach(tree.as_fd())?;
    crash::point("init");
    attach::all(tree.as_fd(), &plan.mounts, &mut made, &mut received)?;
    if plan.waits_for_hooks() {
        gate.tell(&Report::Mounted, None);
    }
    show_control_groups(plan, gate, tree.as_fd())?;
    let words = if plan.wants_state() { gate.wait(Order::State)?.0 } else { Vec::new() };
    let pair = open_terminal(stdio, tree.as_fd())?;
    let settings = open_settings(plan, tree.as_fd())?;
    mask::protect(tree.as_fd(), plan.linux.readonly_paths().as_deref().unwrap_or_default())?;
    mask::hide(tree.as_fd(), plan.linux.masked_paths().as_deref().unwrap_or_default())?;
    plan.process.enter_directory(tree.as_fd(), true)?;
    seal(plan, tree.as_fd())?;
    let identity = plan.process.identity(tree.as_fd())?;
    run_hooks("createContainer", plan.hooks.and_then(|hooks| hooks.create_container().as_ref()), &words)?;
    crash::point("init");
    enter_root(plan, tree.as_fd())?;
    // Not before: no root can be left for one that is shared (pivot_root(2)).
    rootfs::propagate(tree.as_fd(), plan.linux.rootfs_propagation().as_deref())?;
    if barrier.latch.is_some() {
        plan.process.find_program(&identity)?;
    }
    report_ready(stdio, gate, &identity, pair)?;
    Ok(Ready { identity, settings, words })
}

/// Everything behind the gate.
fn start(
    plan: &Plan<'_>,
    stdio: &Stdio<'_>,
    barrier: &Barrier<'_>,
    ready: &Ready,
) -> Result<std::convert::Infallible, Failure> {
    match barrier.latch {
        Some(latch) => latch.wait()?,
        None => drop(barrier.gate.wait(Order::Go)?),
    }
    if let (Some(wanted), Some(settings)) = (plan.linux.sysctl(), &ready.settings) {
        sysctl::write(settings.as_fd(), wanted)?;
    }
    schedule::settle(plan.linux)?;
    plan.process.confine(&ready.identity, &ready.words)?;
    run_hooks("startContainer", plan.hooks.and_then(|hooks| hooks.start_container().as_ref()), &ready.words)?;
    if plan.init {
        process::set_dumpable(false).map_err(|errno| Failure::kernel("init", "cannot become undumpable", errno))?;
        let arguments = plan.process.process.args().as_deref().unwrap_or_default();
        reaper::split(matches!(stdio, Stdio::Terminal { .. }), arguments)?;
    }
    crash::point("init");
    Err(plan.process.execute(&ready.identity))
}

/// Runs hooks that belong to the container's side.
fn run_hooks(point: &str, hooks: Option<&Vec<Hook>>, words: &[u8]) -> Result<(), Failure> {
    if hooks.is_none() {
        return Ok(());
    }
    hook::run(point, hooks, &listener::state(words))
        .map_err(|message| Failure::own("hook", berth_sys::Errno::CANCELED, message))
}

/// Takes the ids of the user namespace's root: until then the process is nobody in it.
pub(crate) fn become_root(in_user_namespace: bool) -> Result<(), Failure> {
    if !in_user_namespace {
        return Ok(());
    }
    process::become_user(0, 0, &[])
        .map_err(|errno| Failure::kernel("user", "cannot become the container's root", errno))
}

/// Host and domain name, and the loopback device, of namespaces that are new.
fn name_host(plan: &Plan<'_>) -> Result<(), Failure> {
    let new = plan.namespaces.new;
    if new & namespace::bit::UTS != 0 {
        if let Some(name) = plan.spec.hostname() {
            namespace::set_host_name(name.as_bytes())
                .map_err(|errno| Failure::kernel("hostname", format_args!("cannot set the host name {name}"), errno))?;
        }
        if let Some(name) = plan.spec.domainname() {
            namespace::set_domain_name(name.as_bytes())
                .map_err(|errno| Failure::kernel("hostname", format_args!("cannot set the domain {name}"), errno))?;
        }
    }
    if new & namespace::bit::NETWORK != 0 {
        berth_sys::network::loopback_up()
            .map_err(|errno| Failure::kernel("network", "cannot bring the loopback device up", errno))?;
    }
    Ok(())
}

/// Enters the control groups, while this process is still the host's root.
pub(crate) fn enter_cgroup(cgroup: Option<&Cgroup>) -> Result<(), Failure> {
    cgroup.map_or(Ok(()), Cgroup::enter).map_err(|error| {
        let errno = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
        let errno = errno.and_then(berth_sys::Errno::from_io_error).unwrap_or(berth_sys::Errno::IO);
        Failure::kernel("cgroup", error, errno)
    })
}

/// A namespace that shows this process's groups as the root, and their mounts.
fn show_control_groups(plan: &Plan<'_>, gate: &Inside, tree: BorrowedFd<'_>) -> Result<(), Failure> {
    let (names, trees) = gate.wait(Order::Control)?;
    if plan.namespaces.new & namespace::bit::CGROUP != 0 {
        namespace::unshare(namespace::bit::CGROUP)
            .map_err(|errno| Failure::kernel("cgroup", "cannot make a cgroup namespace", errno))?;
    }
    let names = serde_json::from_slice(&names).unwrap_or_default();
    control::all(tree, &plan.mounts, &Directories { names, trees })
}

/// Opens `/proc/sys` before it is covered, when there are settings to write later.
fn open_settings(plan: &Plan<'_>, tree: BorrowedFd<'_>) -> Result<Option<OwnedFd>, Failure> {
    if plan.linux.sysctl().as_ref().is_none_or(std::collections::HashMap::is_empty) {
        return Ok(None);
    }
    sysctl::open(tree).map(Some).map_err(|errno| Failure::kernel("sysctl", "cannot open /proc/sys", errno))
}

/// Allocates the terminal, makes it the session's, and puts the streams in their places.
fn open_terminal(stdio: &Stdio<'_>, tree: BorrowedFd<'_>) -> Result<Option<berth_sys::pty::Pair>, Failure> {
    let pair = match stdio {
        Stdio::Terminal { size } => Some(terminal::allocate(tree, *size)?),
        Stdio::Streams { .. } => None,
    };
    if let Some(pair) = &pair {
        terminal::show_as_console(tree, pair)?;
    }
    let slave = pair.as_ref().map(|pair| &pair.slave);
    terminal::lead_session(slave)?;
    stdio.place(slave).map_err(|errno| Failure::kernel("stdio", "cannot place the standard streams", errno))?;
    Ok(pair)
}

/// Makes the root read-only, now that every mount point is there.
fn seal(plan: &Plan<'_>, tree: BorrowedFd<'_>) -> Result<(), Failure> {
    if !plan.read_only {
        return Ok(());
    }
    attach::read_only(tree, false)
        .map_err(|errno| Failure::kernel("rootfs", "cannot make the root file system read-only", errno))
}

/// Leaves the host's tree. The working directory was opened before; it must be entered again from the new root.
fn enter_root(plan: &Plan<'_>, tree: BorrowedFd<'_>) -> Result<(), Failure> {
    rootfs::enter(tree)?;
    // A keyring of its own, where the kernel has any and the user has not too many.
    let _ = berth_sys::keyring::new_session(c"_berth");
    let root = root()?;
    let directory = path::open(root.as_fd(), plan.process.process.cwd(), OFlags::PATH | OFlags::DIRECTORY);
    let entered = if stands(Guard::CwdInside) {
        directory.and_then(rustix::process::fchdir)
    } else {
        rustix::process::chdir(plan.process.process.cwd())
    };
    entered.map_err(|errno| {
        let what = format_args!("cannot change to {}", plan.process.process.cwd().display()).to_string();
        Failure::kernel("cwd", what, errno)
    })
}

fn report_ready(
    stdio: &Stdio<'_>,
    gate: &Inside,
    identity: &Identity,
    pair: Option<berth_sys::pty::Pair>,
) -> Result<(), Failure> {
    let master = match (stdio, pair) {
        (Stdio::Terminal { .. }, Some(pair)) => {
            terminal::give_to(&pair.slave, identity.uid)?;
            Some(pair.master)
        }
        _ => None,
    };
    let report = Report::Ready { uid: identity.uid, gid: identity.gid, warnings: Vec::new() };
    gate.tell(&report, master.as_ref());
    Ok(())
}

fn missing(what: &str) -> Failure {
    Failure::own("mount", berth_sys::Errno::BADF, format!("the engine did not send {what}"))
}
