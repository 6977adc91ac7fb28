//! Model-specific registers that firmware would have set (Intel SDM volume 4).

use kvm_bindings::{Msrs, kvm_msr_entry};
use kvm_ioctls::VcpuFd;

use crate::{Error, Result};

/// `IA32_MISC_ENABLE`: fast string operations.
const MISC_ENABLE: u32 = 0x1a0;
const FAST_STRING: u64 = 1;
/// `IA32_MTRR_DEF_TYPE`: enabled, write-back.
const MTRR_DEFAULT: u32 = 0x2ff;
const ENABLED_WRITE_BACK: u64 = 1 << 11 | 6;

pub fn prepare(fd: &VcpuFd) -> Result<()> {
    for (index, data) in [(MISC_ENABLE, FAST_STRING), (MTRR_DEFAULT, ENABLED_WRITE_BACK)] {
        // One by one: KVM stops at the first that it does not know, and a guest can do without either.
        let entry = kvm_msr_entry { index, data, ..kvm_msr_entry::default() };
        let one = Msrs::from_entries(&[entry]).map_err(|error| Error::Memory(format!("{error:?}")))?;
        fd.set_msrs(&one).map_err(Error::kvm("take model-specific registers"))?;
    }
    Ok(())
}
