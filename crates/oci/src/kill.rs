//! `kill`: sends a signal to a container's first process, or to all.

use std::os::fd::AsFd;

use berth_runtime::cgroup::Cgroup;
use berth_sys::{Errno, pidfd, process::birth};

use crate::error::{Error, Result};
use crate::grammar::{Call, Command, switch};
use crate::record::{Record, Status};
use crate::signal;
use crate::store::Store;

/// See the module.
pub static COMMAND: Command = Command {
    name: "kill",
    arguments: "ID [SIGNAL]",
    about: "send a signal (default: TERM) to a container",
    flags: &[switch("all", "a", "send it to all processes of the container")],
    arity: (1, 2),
    run: kill,
};

fn kill(call: &Call) -> Result<u8> {
    let (place, record) = Store::new(&call.global.root).find(call.id())?;
    let number = signal::parse(call.arguments.get(1).map_or("TERM", String::as_str))?;
    let cgroup = record.cgroup();
    match (record.status(&place), cgroup) {
        (_, Some(cgroup)) if call.has("all") => all(&cgroup, number)?,
        (Status::Stopped, _) => return Err(Error::State(String::from("container not running"))),
        (_, Some(cgroup)) if number == libc::SIGKILL && !has_own_pids(&place.spec()?) => all(&cgroup, number)?,
        _ => first(&record, number)?,
    }
    Ok(0)
}

/// Signals process 1 and no other that may have got its number.
pub fn first(record: &Record, number: i32) -> Result<()> {
    let gone = || Error::State(String::from("container not running"));
    let process = pidfd::open(record.pid).map_err(|_| gone())?;
    if birth(record.pid) != Some(record.born) {
        return Err(gone());
    }
    match pidfd::send_signal(process.as_fd(), number) {
        Err(Errno::SRCH) => Err(gone()),
        other => other.map_err(Error::process("send the signal")),
    }
}

fn all(cgroup: &Cgroup, number: i32) -> Result<()> {
    if number == libc::SIGKILL {
        return Ok(cgroup.kill_all()?);
    }
    for pid in cgroup.pids()? {
        // Those that have ended meanwhile need no signal.
        if let Ok(process) = pidfd::open(pid) {
            let _ = pidfd::send_signal(process.as_fd(), number);
        }
    }
    Ok(())
}

/// Whether the kernel ends all processes with the first.
fn has_own_pids(spec: &oci_spec::runtime::Spec) -> bool {
    let list = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    let new = |namespace: &oci_spec::runtime::LinuxNamespace| {
        namespace.typ() == oci_spec::runtime::LinuxNamespaceType::Pid && namespace.path().is_none()
    };
    list.is_some_and(|list| list.iter().any(new))
}
