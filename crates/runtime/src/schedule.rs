//! Scheduling of a process (`process.scheduler`, `ioPriority`, `execCPUAffinity`), set from outside by the maker, who has
//! the rights; and what only a process itself can set: its memory policy and its personality.

use berth_sys::Errno;
use berth_sys::schedule::{self, Attributes};
use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxMemoryPolicy, LinuxPersonality, LinuxPersonalityDomain, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, MemoryPolicyFlagType, MemoryPolicyModeType, Process, Scheduler,
};

use crate::error::{Error, Failure, Result, describe};

/// The highest processor or memory node that is understood.
const MAX_INDEX: usize = 8191;

/// Sets policy and i/o priority of a process that has not executed its program yet.
pub(crate) fn apply(pid: i32, process: &Process) -> Result<()> {
    if let Some(wanted) = process.scheduler() {
        schedule::set_policy(pid, &attributes(wanted)).map_err(refused("process.scheduler"))?;
    }
    if let Some(wanted) = process.io_priority() {
        let class = match wanted.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        let level = u16::try_from(wanted.priority()).ok().filter(|level| *level < 8).ok_or_else(|| {
            let reason = format!("{} is not from 0 to 7", wanted.priority());
            Error::InvalidSpec { field: "process.ioPriority", reason }
        })?;
        schedule::set_io_priority(pid, class, level).map_err(refused("process.ioPriority"))?;
    }
    Ok(())
}

/// Lets a process run on the listed processors (`0-2,7`) only.
pub(crate) fn pin(pid: i32, list: Option<&String>) -> Result<()> {
    let Some(list) = list else { return Ok(()) };
    let invalid = || Error::InvalidSpec { field: "process.execCPUAffinity", reason: format!("{list:?} is no list") };
    let mask = bits(list).ok_or_else(invalid)?;
    schedule::set_processors(pid, &mask).map_err(refused("process.execCPUAffinity"))
}

/// In init, before its rights are gone: memory policy and personality of the container.
pub(crate) fn settle(linux: &Linux) -> std::result::Result<(), Failure> {
    if let Some(policy) = linux.memory_policy() {
        let nodes = policy.nodes().as_deref().filter(|list| !list.is_empty()).map_or(Some(Vec::new()), bits);
        let fail = |errno| Failure::kernel("memory_policy", "cannot set the memory policy", errno);
        schedule::set_memory_policy(mode(policy), &nodes.ok_or(Errno::INVAL).map_err(fail)?).map_err(fail)?;
    }
    if let Some(personality) = linux.personality() {
        let domain = domain(personality)?;
        schedule::set_personality(domain)
            .map_err(|errno| Failure::kernel("personality", "cannot set the personality", errno))?;
    }
    Ok(())
}

fn refused(field: &'static str) -> impl FnOnce(Errno) -> Error {
    move |errno| Error::InvalidSpec { field, reason: describe(errno) }
}

fn attributes(wanted: &Scheduler) -> Attributes {
    let policy = match wanted.policy() {
        LinuxSchedulerPolicy::SchedOther => libc::SCHED_OTHER,
        LinuxSchedulerPolicy::SchedFifo => libc::SCHED_FIFO,
        LinuxSchedulerPolicy::SchedRr => libc::SCHED_RR,
        LinuxSchedulerPolicy::SchedBatch => libc::SCHED_BATCH,
        // Reserved by the kernel and never built: it refuses the number by itself.
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => libc::SCHED_IDLE,
        LinuxSchedulerPolicy::SchedDeadline => libc::SCHED_DEADLINE,
    };
    let flags = wanted.flags().iter().flatten().fold(0, |bits, flag| bits | flag_bit(*flag));
    Attributes {
        policy: policy as u32,
        flags,
        nice: wanted.nice().unwrap_or(0),
        priority: wanted.priority().unwrap_or(0).max(0) as u32,
        runtime_ns: wanted.runtime().unwrap_or(0),
        deadline_ns: wanted.deadline().unwrap_or(0),
        period_ns: wanted.period().unwrap_or(0),
        ..Attributes::default()
    }
}

/// `SCHED_FLAG_*` of `include/uapi/linux/sched.h`.
fn flag_bit(flag: LinuxSchedulerFlag) -> u64 {
    match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    }
}

/// `MPOL_*` of `include/uapi/linux/mempolicy.h`.
fn mode(policy: &LinuxMemoryPolicy) -> i32 {
    let mode = match policy.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    policy.flags().iter().flatten().fold(mode, |bits, flag| {
        bits | match flag {
            MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
            MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
            MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
        }
    })
}

/// `PER_*` of `include/uapi/linux/personality.h`.
fn domain(personality: &LinuxPersonality) -> std::result::Result<u64, Failure> {
    if let Some(flag) = personality.flags().iter().flatten().next() {
        let message = format!("the personality flag {flag:?} is not known");
        return Err(Failure::own("personality", Errno::INVAL, message));
    }
    Ok(match personality.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    })
}

/// Numbers and ranges of numbers as bits, the lowest first.
fn bits(list: &str) -> Option<Vec<u64>> {
    let mut words = Vec::new();
    for part in list.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let (low, high) = (low.trim().parse::<usize>().ok()?, high.trim().parse::<usize>().ok()?);
        if low > high || high > MAX_INDEX {
            return None;
        }
        for index in low..=high {
            if words.len() <= index / 64 {
                words.resize(index / 64 + 1, 0);
            }
            words[index / 64] |= 1 << (index % 64);
        }
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_bits() {
        assert_eq!(bits("0-2,5"), Some(vec![0b10_0111]));
        assert_eq!(bits("64"), Some(vec![0, 1]));
        for wrong in ["", "a", "3-1", "1,,2", "99999999", "-1"] {
            assert_eq!(bits(wrong), None, "{wrong}");
        }
    }
}
