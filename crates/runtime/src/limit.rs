//! Resource limits and the out-of-memory score of a process, set from outside: only the host's root may raise them.

use berth_sys::Errno;
use oci_spec::runtime::{PosixRlimit, PosixRlimitType as Type, Process};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::error::{Error, Result};

/// Sets both for a process that has not executed its program yet; returns what could not be had.
pub(crate) fn apply(pid: i32, process: &Process) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for wanted in process.rlimits().iter().flatten() {
        warnings.extend(set(pid, wanted)?);
    }
    if let Some(score) = process.oom_score_adj().filter(|score| *score != 0) {
        match std::fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string()) {
            Ok(()) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) => {
                warnings.push(format!("oom_score_adj {score} needs CAP_SYS_RESOURCE, which the engine lacks"));
            }
            Err(source) => return Err(Error::Process { act: "set oom_score_adj", source }),
        }
    }
    Ok(warnings)
}

/// Sets one limit; a hard limit above what the engine may give stays as it is.
fn set(pid: i32, wanted: &PosixRlimit) -> Result<Option<String>> {
    let resource = resource_of(wanted.typ());
    let value = |limit: u64| Some(limit).filter(|limit| *limit != u64::MAX);
    let limit = Rlimit { current: value(wanted.soft()), maximum: value(wanted.hard()) };
    let process = Pid::from_raw(pid);
    match prlimit(process, resource, limit) {
        Ok(_) => Ok(None),
        Err(Errno::PERM) => {
            let had = rustix::process::getrlimit(resource);
            let lower = |one: Option<u64>, other: Option<u64>| one.into_iter().chain(other).min();
            let possible = Rlimit { current: lower(value(wanted.soft()), had.maximum), maximum: had.maximum };
            prlimit(process, resource, possible).map_err(Error::process("set a resource limit"))?;
            Ok(Some(format!("{}: the engine may not raise the hard limit above its own", wanted.typ())))
        }
        Err(errno) => {
            let reason = format!("{}: {}", wanted.typ(), crate::error::describe(errno));
            Err(Error::InvalidSpec { field: "process.rlimits", reason })
        }
    }
}

fn resource_of(kind: Type) -> Resource {
    match kind {
        Type::RlimitCpu => Resource::Cpu,
        Type::RlimitFsize => Resource::Fsize,
        Type::RlimitData => Resource::Data,
        Type::RlimitStack => Resource::Stack,
        Type::RlimitCore => Resource::Core,
        Type::RlimitRss => Resource::Rss,
        Type::RlimitNproc => Resource::Nproc,
        Type::RlimitNofile => Resource::Nofile,
        Type::RlimitMemlock => Resource::Memlock,
        Type::RlimitAs => Resource::As,
        Type::RlimitLocks => Resource::Locks,
        Type::RlimitSigpending => Resource::Sigpending,
        Type::RlimitMsgqueue => Resource::Msgqueue,
        Type::RlimitNice => Resource::Nice,
        Type::RlimitRtprio => Resource::Rtprio,
        Type::RlimitRttime => Resource::Rttime,
    }
}
