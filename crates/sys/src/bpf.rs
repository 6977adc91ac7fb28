//! The four calls of bpf(2) that a device filter of cgroup v2 needs.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::{Result, check};

/// Commands, types and flags of `linux/bpf.h`.
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;
/// More filters than anyone stacks on one cgroup.
const MAX_FILTERS: usize = 64;

/// The part of `union bpf_attr` for loading, up to `log_buf`.
#[repr(C)]
#[derive(Default)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The part for attaching and detaching.
#[repr(C)]
#[derive(Default)]
struct Attach {
    target: u32,
    program: u32,
    kind: u32,
    flags: u32,
    replaced: u32,
}

/// The part for querying.
#[repr(C)]
#[derive(Default)]
struct Query {
    target: u32,
    kind: u32,
    flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
}

fn bpf<T>(command: libc::c_int, attributes: &mut T) -> Result<libc::c_long> {
    let size = std::mem::size_of::<T>();
    // SAFETY: `attributes` is a live, exclusively borrowed `repr(C)` prefix of `union bpf_attr` of `size` bytes; the
    // pointers within it were made by the callers from buffers that outlive this call.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) })
}

/// Has the kernel verify and load `program` (eight bytes an instruction) as a device filter.
pub fn load_cgroup_device_filter(program: &[[u8; 8]]) -> Result<OwnedFd> {
    let mut attributes = Load {
        program_type: PROG_TYPE_CGROUP_DEVICE,
        instruction_count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..Load::default()
    };
    let fd = bpf(PROG_LOAD, &mut attributes)?;
    // SAFETY: the call succeeded, so `fd` is a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Attaches a loaded filter beside those that are there; a device must pass all.
pub fn attach_cgroup_device_filter(cgroup: BorrowedFd<'_>, filter: BorrowedFd<'_>) -> Result<()> {
    let (target, program) = (cgroup.as_raw_fd() as u32, filter.as_raw_fd() as u32);
    bpf(PROG_ATTACH, &mut Attach { target, program, kind: CGROUP_DEVICE, flags: ALLOW_MULTI, replaced: 0 })?;
    Ok(())
}

/// Takes one filter off.
pub fn detach_cgroup_device_filter(cgroup: BorrowedFd<'_>, filter: BorrowedFd<'_>) -> Result<()> {
    let (target, program) = (cgroup.as_raw_fd() as u32, filter.as_raw_fd() as u32);
    bpf(PROG_DETACH, &mut Attach { target, program, kind: CGROUP_DEVICE, ..Attach::default() })?;
    Ok(())
}

/// The filters attached to this very cgroup. Allocates.
pub fn cgroup_device_filters(cgroup: BorrowedFd<'_>) -> Result<Vec<OwnedFd>> {
    let mut ids = [0_u32; MAX_FILTERS];
    let mut query = Query {
        target: cgroup.as_raw_fd() as u32,
        kind: CGROUP_DEVICE,
        ids: ids.as_mut_ptr() as u64,
        count: MAX_FILTERS as u32,
        ..Query::default()
    };
    bpf(PROG_QUERY, &mut query)?;
    let count = (query.count as usize).min(MAX_FILTERS);
    ids[..count]
        .iter()
        .map(|id| {
            // The identifier is the first word of that part of the union.
            let fd = bpf(PROG_GET_FD_BY_ID, &mut [*id, 0, 0])?;
            // SAFETY: the call succeeded, so `fd` is a new descriptor that nothing else owns.
            Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
        })
        .collect()
}
