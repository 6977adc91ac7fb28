//! The state of a processor, to be given to another one.
//!
//! The order matters (Documentation/virt/kvm/api.rst): the multiprocessing state is read first, because reading it settles
//! what is pending; model-specific registers are written after the local APIC, whose timer they set.

use kvm_bindings::{
    CpuId, KVM_MAX_CPUID_ENTRIES, Msrs, kvm_cpuid_entry2, kvm_debugregs, kvm_lapic_state, kvm_mp_state, kvm_msr_entry,
    kvm_regs, kvm_sregs, kvm_vcpu_events, kvm_xcrs, kvm_xsave,
};
use kvm_ioctls::VcpuFd;
use serde::{Deserialize, Serialize};

use super::Processor;
use crate::{Error, Result};

/// `IA32_TSC_DEADLINE`, which only counts once the time stamp counter is right.
const TSC_DEADLINE: u32 = 0x6e0;
/// How many model-specific registers are read at once.
const BATCH: usize = 64;

/// See the module.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    cpuid: Vec<kvm_cpuid_entry2>,
    multiprocessing: kvm_mp_state,
    general: kvm_regs,
    special: kvm_sregs,
    extended: kvm_xsave,
    extended_control: kvm_xcrs,
    debug: kvm_debugregs,
    local_apic: kvm_lapic_state,
    msrs: Vec<kvm_msr_entry>,
    events: kvm_vcpu_events,
    tsc_khz: Option<u32>,
}

impl State {
    /// Reads it from a processor that does not run. `msrs` are those that KVM says belong to the state.
    pub fn save(fd: &VcpuFd, msrs: &[u32]) -> Result<Self> {
        let give = Error::kvm;
        let multiprocessing = fd.get_mp_state().map_err(give("give the multiprocessing state"))?;
        // The guest's watchdogs learn that it was stopped; a guest without this clock does not need to.
        let _ = fd.kvmclock_ctrl();
        let cpuid = fd.get_cpuid2(KVM_MAX_CPUID_ENTRIES).map_err(give("give the processor's features"))?;
        Ok(Self {
            cpuid: cpuid.as_slice().to_vec(),
            multiprocessing,
            general: fd.get_regs().map_err(give("give registers"))?,
            special: fd.get_sregs().map_err(give("give special registers"))?,
            extended: fd.get_xsave().map_err(give("give extended registers"))?,
            extended_control: fd.get_xcrs().map_err(give("give extended control registers"))?,
            debug: fd.get_debug_regs().map_err(give("give debug registers"))?,
            local_apic: fd.get_lapic().map_err(give("give the local APIC"))?,
            msrs: read_msrs(fd, msrs)?,
            events: fd.get_vcpu_events().map_err(give("give pending events"))?,
            tsc_khz: fd.get_tsc_khz().ok(),
        })
    }
}

impl Processor {
    /// Gives a new processor the state of another.
    ///
    /// # Errors
    /// [`Error::Kvm`]; [`Error::Snapshot`] for what cannot be a state.
    pub fn restore(&self, state: &State) -> Result<()> {
        let (fd, take) = (&self.fd, Error::kvm);
        let cpuid = CpuId::from_entries(&state.cpuid).map_err(|_| Error::Snapshot("too many features".to_owned()))?;
        fd.set_cpuid2(&cpuid).map_err(take("take the processor's features"))?;
        if let Some(khz) = state.tsc_khz.filter(|khz| fd.get_tsc_khz().ok() != Some(*khz)) {
            fd.set_tsc_khz(khz).map_err(take("run the time stamp counter at the speed of the snapshot"))?;
        }
        fd.set_mp_state(state.multiprocessing).map_err(take("take the multiprocessing state"))?;
        fd.set_regs(&state.general).map_err(take("take registers"))?;
        fd.set_sregs(&state.special).map_err(take("take special registers"))?;
        // SAFETY: no feature is switched on for this process that makes the area larger than `kvm_xsave`.
        unsafe { fd.set_xsave(&state.extended) }.map_err(take("take extended registers"))?;
        fd.set_xcrs(&state.extended_control).map_err(take("take extended control registers"))?;
        fd.set_debug_regs(&state.debug).map_err(take("take debug registers"))?;
        fd.set_lapic(&state.local_apic).map_err(take("take the local APIC"))?;
        let (deadline, others): (Vec<&kvm_msr_entry>, Vec<&kvm_msr_entry>) =
            state.msrs.iter().partition(|msr| msr.index == TSC_DEADLINE);
        for msr in others.into_iter().chain(deadline) {
            write_msr(fd, *msr)?;
        }
        fd.set_vcpu_events(&state.events).map_err(take("take pending events"))
    }
}

/// KVM stops at a register that it lists and does not give; that one is left out, and the rest is asked for again.
fn read_msrs(fd: &VcpuFd, indices: &[u32]) -> Result<Vec<kvm_msr_entry>> {
    let mut found = Vec::with_capacity(indices.len());
    for batch in indices.chunks(BATCH) {
        let mut left = batch;
        while !left.is_empty() {
            let entries: Vec<kvm_msr_entry> =
                left.iter().map(|index| kvm_msr_entry { index: *index, ..kvm_msr_entry::default() }).collect();
            let mut msrs =
                Msrs::from_entries(&entries).map_err(|_| Error::Snapshot("too many registers".to_owned()))?;
            let read = fd.get_msrs(&mut msrs).map_err(Error::kvm("give model-specific registers"))?;
            found.extend_from_slice(&msrs.as_slice()[..read]);
            left = left.get(read + 1..).unwrap_or_default();
        }
    }
    Ok(found)
}

/// A register that this KVM refuses was not used by the guest, or is not there: its value is the one after a reset.
fn write_msr(fd: &VcpuFd, entry: kvm_msr_entry) -> Result<()> {
    let one = Msrs::from_entries(&[entry]).map_err(|_| Error::Snapshot("too many registers".to_owned()))?;
    fd.set_msrs(&one).map(drop).map_err(Error::kvm("take model-specific registers"))
}
