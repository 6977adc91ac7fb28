//! When and where a process runs: scheduling policy, i/o priority, processors, memory nodes, personality.

use crate::{Result, check};

/// The kernel's `struct sched_attr`, first version (`include/uapi/linux/sched/types.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Bytes of this structure; filled in by [`set_policy`].
    pub size: u32,
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// For `SCHED_OTHER` and `SCHED_BATCH`: -20 to 19.
    pub nice: i32,
    /// For `SCHED_FIFO` and `SCHED_RR`: 1 to 99.
    pub priority: u32,
    /// For `SCHED_DEADLINE`, in nanoseconds.
    pub runtime_ns: u64,
    /// As above.
    pub deadline_ns: u64,
    /// As above.
    pub period_ns: u64,
}

/// Sets the policy of a process (0: the caller). `EPERM` without the right, `EINVAL` for values that do not fit the
/// policy (sched_setattr(2)).
pub fn set_policy(pid: i32, attributes: &Attributes) -> Result<()> {
    let attributes = Attributes { size: size_of::<Attributes>() as u32, ..*attributes };
    // SAFETY: the kernel reads `size` bytes of the structure and keeps nothing.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const attributes, 0) }).map(drop)
}

/// Sets the i/o priority of a process: class 1 (real time), 2 (best effort) or 3 (idle), level 0 to 7 (ioprio_set(2)).
pub fn set_io_priority(pid: i32, class: u16, level: u16) -> Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    let priority = i32::from(class) << 13 | i32::from(level);
    // SAFETY: integers only.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, pid, priority) }).map(drop)
}

/// Lets a process (0: the caller) run on these processors only; bit n of the words is processor n.
pub fn set_processors(pid: i32, mask: &[u64]) -> Result<()> {
    // SAFETY: the kernel reads as many bytes as it is told.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, pid, size_of_val(mask), mask.as_ptr()) }).map(drop)
}

/// Sets the caller's memory policy: `MPOL_*` with its flags, and the nodes as bits (set_mempolicy(2)).
pub fn set_memory_policy(mode: i32, nodes: &[u64]) -> Result<()> {
    // The kernel takes one bit less than it is told.
    let bits = if nodes.is_empty() { 0 } else { nodes.len() * 64 + 1 };
    let address = if nodes.is_empty() { std::ptr::null() } else { nodes.as_ptr() };
    // SAFETY: the kernel reads `bits` bits, of which it ignores the last, at an address of that many.
    check(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, address, bits) }).map(drop)
}

/// Sets the caller's execution domain (personality(2)).
pub fn set_personality(domain: u64) -> Result<()> {
    // SAFETY: an integer only.
    check(unsafe { libc::personality(domain as libc::c_ulong) }.into()).map(drop)
}
