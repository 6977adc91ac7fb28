//! Virtual processors: what they look like, how they start, and the thread in which each runs.
//!
//! ```text
//!            ┌──────── resume ────────┐
//!  start ─► Parked ─► Running ─ pause ┘      pause and end kick the thread out of KVM_RUN: `immediate_exit`
//!             └── end ──► Ended              is set first, so that a kick between two runs is not lost
//! ```

mod cpuid;
mod msr;
mod registers;
mod run;
mod state;

use kvm_ioctls::{Kvm, VcpuFd, VmFd};

use crate::{Error, Result, boot::Start, memory::Memory};

pub use run::{Bus, Processors};
pub use state::State;

/// One virtual processor that does not run yet.
pub struct Processor {
    index: u32,
    fd: VcpuFd,
}

impl Processor {
    /// Makes the `index`th of `count` processors.
    ///
    /// # Errors
    /// [`Error::Kvm`].
    pub fn new(kvm: &Kvm, vm: &VmFd, index: u32, count: u32) -> Result<Self> {
        let fd = vm.create_vcpu(index.into()).map_err(Error::kvm("make a virtual processor"))?;
        fd.set_cpuid2(&cpuid::of(kvm, index, count)?).map_err(Error::kvm("take the processor's features"))?;
        Ok(Self { index, fd })
    }

    /// Gives it the state in which a kernel is entered. Only the first processor starts so; the others wait until it
    /// wakes them.
    ///
    /// # Errors
    /// [`Error::Kvm`], [`Error::Memory`].
    pub fn prepare(&self, memory: &Memory, start: Start) -> Result<()> {
        msr::prepare(&self.fd)?;
        registers::prepare(&self.fd, memory, start, self.index == 0)
    }
}
