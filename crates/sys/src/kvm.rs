//! Whether KVM runs guests, and how fast (Documentation/virt/kvm/api.rst): a device that opens proves nothing.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::{Errno, Result, check};

const GET_API_VERSION: libc::c_ulong = 0xae00;
const CREATE_VM: libc::c_ulong = 0xae01;
const GET_VCPU_MMAP_SIZE: libc::c_ulong = 0xae04;
const CREATE_VCPU: libc::c_ulong = 0xae41;
const SET_USER_MEMORY_REGION: libc::c_ulong = 0x4020_ae46;
const RUN: libc::c_ulong = 0xae80;
const GET_REGS: libc::c_ulong = 0x8090_ae81;
const SET_REGS: libc::c_ulong = 0x4090_ae82;
const GET_SREGS: libc::c_ulong = 0x8138_ae83;
const SET_SREGS: libc::c_ulong = 0x4138_ae84;
/// `KVM_EXIT_HLT`.
const EXIT_HALT: u32 = 5;
const PAGE: usize = 4096;
/// `dec ecx; jnz -3; hlt`, in 16-bit mode with 32-bit operands.
const PAYLOAD: [u8; 6] = [0x66, 0x49, 0x75, 0xfc, 0xf4, 0xf4];
/// Instructions in one round of the payload.
const ROUND: u64 = 2;

/// `struct kvm_userspace_memory_region`.
#[repr(C)]
struct Region {
    slot: u32,
    flags: u32,
    guest: u64,
    bytes: u64,
    host: u64,
}

/// What a payload of known length took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timed {
    /// From the opened device to a guest that is ready to run.
    pub setup: Duration,
    /// The guest's run.
    pub run: Duration,
    /// Instructions that it executed.
    pub instructions: u64,
}

impl Timed {
    /// Instructions per second.
    #[must_use]
    pub fn speed(&self) -> u64 {
        u64::try_from(u128::from(self.instructions) * 1_000_000_000 / self.run.as_nanos().max(1)).unwrap_or(u64::MAX)
    }
}

/// A page or more that this process and a guest, or the kernel, share.
struct Shared {
    at: *mut libc::c_void,
    bytes: usize,
}

impl Shared {
    fn map(bytes: usize, flags: libc::c_int, fd: libc::c_int) -> Result<Self> {
        // SAFETY: the kernel chooses the place; the result is checked.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) };
        if at == libc::MAP_FAILED { Err(check(-1).err().unwrap_or(Errno::NOMEM)) } else { Ok(Self { at, bytes }) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own.
        unsafe { libc::munmap(self.at, self.bytes) };
    }
}

/// Runs a guest of `rounds` rounds of two instructions, bounded by their number. `ENOENT` without the device.
pub fn time_payload(rounds: u32) -> Result<Timed> {
    let start = Instant::now();
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let device = rustix::fs::open("/dev/kvm", flags, rustix::fs::Mode::empty())?;
    if call(&device, GET_API_VERSION, 0)? != 12 {
        return Err(Errno::NOSYS);
    }
    let machine = adopt(call(&device, CREATE_VM, 0)?);
    let memory = Shared::map(PAGE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1)?;
    // SAFETY: the mapping is one page long, and nobody else uses it yet.
    unsafe { std::ptr::copy_nonoverlapping(PAYLOAD.as_ptr(), memory.at.cast(), PAYLOAD.len()) };
    let region = Region { slot: 0, flags: 0, guest: 0x1000, bytes: PAGE as u64, host: memory.at as u64 };
    call(&machine, SET_USER_MEMORY_REGION, (&raw const region) as u64)?;
    let processor = adopt(call(&machine, CREATE_VCPU, 0)?);
    let run_bytes = call(&device, GET_VCPU_MMAP_SIZE, 0)? as usize;
    let state = Shared::map(run_bytes.max(PAGE), libc::MAP_SHARED, processor.as_raw_fd())?;
    prepare(&processor, rounds)?;
    let setup = start.elapsed();
    let start = Instant::now();
    loop {
        match call(&processor, RUN, 0) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    let run = start.elapsed();
    // SAFETY: `struct kvm_run` has the exit's reason at byte 8, and the mapping is at least a page.
    let reason = unsafe { state.at.cast::<u32>().add(2).read_volatile() };
    if reason != EXIT_HALT {
        return Err(Errno::IO);
    }
    Ok(Timed { setup, run, instructions: u64::from(rounds) * ROUND })
}

/// The registers of real mode with the code segment at 0.
fn prepare(processor: &OwnedFd, rounds: u32) -> Result<()> {
    // `struct kvm_sregs` is 312 bytes; its first member is the code segment: base (8), limit (4), selector (2).
    let mut special = [0_u64; 39];
    call(processor, GET_SREGS, (&raw mut special) as u64)?;
    special[0] = 0;
    special[1] &= !(0xffff << 32);
    call(processor, SET_SREGS, (&raw const special) as u64)?;
    // `struct kvm_regs`: rax rbx rcx rdx … rip (17th) rflags (18th).
    let mut general = [0_u64; 18];
    call(processor, GET_REGS, (&raw mut general) as u64)?;
    (general[2], general[16], general[17]) = (u64::from(rounds), 0x1000, 2);
    call(processor, SET_REGS, (&raw const general) as u64)?;
    Ok(())
}

fn call(device: &OwnedFd, number: libc::c_ulong, argument: u64) -> Result<libc::c_long> {
    // SAFETY: the callers above pair each number with a number or with the address of its structure, which is alive.
    check(unsafe { libc::ioctl(device.as_raw_fd(), number as _, argument) }.into())
}

fn adopt(number: libc::c_long) -> OwnedFd {
    // SAFETY: the ioctl returned a fresh descriptor.
    unsafe { OwnedFd::from_raw_fd(number as libc::c_int) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_timed_where_there_is_a_device() {
        match time_payload(1000) {
            Ok(timed) => assert!(timed.instructions == 2000 && timed.speed() > 0, "{timed:?}"),
            Err(errno) => println!("skipped: no KVM here ({errno})"),
        }
    }
}
