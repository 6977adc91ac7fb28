//! What the guest's processor says that it is: what KVM supports, with the guest's own topology.
//!
//! Every processor is a core of its own in one package, without threads (Intel SDM volume 2, CPUID; AMD APM volume 3,
//! appendix E).

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use kvm_ioctls::{Cap, Kvm};

use crate::{Error, Result};

const FEATURES: u32 = 0x1;
const CACHES_INTEL: u32 = 0x4;
const PERFORMANCE: u32 = 0xa;
const TOPOLOGY: u32 = 0xb;
const TOPOLOGY_V2: u32 = 0x1f;
const SIZES_AMD: u32 = 0x8000_0008;
const CACHES_AMD: u32 = 0x8000_001d;
const TOPOLOGY_AMD: u32 = 0x8000_001e;

/// Bits of leaf 1, ecx.
const MONITOR: u32 = 1 << 3;
const TSC_DEADLINE: u32 = 1 << 24;
const HYPERVISOR: u32 = 1 << 31;
/// Bit of leaf 1, edx: more than one logical processor in the package.
const HYPER_THREADING: u32 = 1 << 28;
/// Cache lines of 64 bytes, in units of 8.
const LINE: u32 = 8;

/// The leaves of the `index`th of `count` processors.
pub fn of(kvm: &Kvm, index: u32, count: u32) -> Result<CpuId> {
    let mut leaves =
        kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES).map_err(Error::kvm("tell the processor's features"))?;
    let deadline = kvm.check_extension(Cap::TscDeadlineTimer);
    for leaf in leaves.as_mut_slice() {
        edit(leaf, index, count, deadline);
    }
    Ok(leaves)
}

fn edit(leaf: &mut kvm_cpuid_entry2, index: u32, count: u32, deadline: bool) {
    match leaf.function {
        FEATURES => {
            leaf.ebx = leaf.ebx & 0xff | LINE << 8 | count << 16 | index << 24;
            leaf.ecx = leaf.ecx & !(MONITOR | TSC_DEADLINE) | HYPERVISOR | if deadline { TSC_DEADLINE } else { 0 };
            leaf.edx = leaf.edx & !HYPER_THREADING | if count > 1 { HYPER_THREADING } else { 0 };
        }
        CACHES_INTEL if leaf.eax & 0x1f != 0 => {
            leaf.eax = leaf.eax & 0x3fff | shared_by(leaf.eax, count) << 14 | (count - 1) << 26;
        }
        // The guest counts nothing: counters are the host's.
        PERFORMANCE => (leaf.eax, leaf.ebx, leaf.ecx, leaf.edx) = (0, 0, 0, 0),
        TOPOLOGY | TOPOLOGY_V2 => topology(leaf, index, count),
        SIZES_AMD => leaf.ecx = (count - 1) | bits(count) << 12,
        CACHES_AMD if leaf.eax & 0x1f != 0 => leaf.eax = leaf.eax & 0x3fff | shared_by(leaf.eax, count) << 14,
        TOPOLOGY_AMD => (leaf.eax, leaf.ebx, leaf.ecx) = (index, index, 0),
        _ => {}
    }
}

/// How many processors, less one, share a cache of this leaf: only the third level is shared.
fn shared_by(eax: u32, count: u32) -> u32 {
    if eax >> 5 & 7 >= 3 { count - 1 } else { 0 }
}

fn topology(leaf: &mut kvm_cpuid_entry2, index: u32, count: u32) {
    const THREAD: u32 = 1 << 8;
    const CORE: u32 = 2 << 8;
    let (shift, processors, kind) = match leaf.index {
        0 => (0, 1, THREAD),
        1 => (bits(count), count, CORE),
        _ => (0, 0, 0),
    };
    (leaf.eax, leaf.ebx, leaf.ecx, leaf.edx) = (shift, processors, leaf.index | kind, index);
}

/// Bits that the numbers of `count` processors need.
fn bits(count: u32) -> u32 {
    u32::BITS - (count - 1).leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(function: u32, subleaf: u32, eax: u32, index: u32, count: u32) -> kvm_cpuid_entry2 {
        let mut leaf = kvm_cpuid_entry2 { function, index: subleaf, eax, ..kvm_cpuid_entry2::default() };
        edit(&mut leaf, index, count, true);
        leaf
    }

    #[test]
    fn processors_know_their_number_and_their_neighbours() {
        let leaf = edited(FEATURES, 0, 0, 2, 4);
        assert_eq!(leaf.ebx, 2 << 24 | 4 << 16 | 8 << 8);
        assert!(leaf.ecx & HYPERVISOR != 0 && leaf.ecx & TSC_DEADLINE != 0 && leaf.edx & HYPER_THREADING != 0);
        assert_eq!(edited(FEATURES, 0, 0, 0, 1).edx & HYPER_THREADING, 0);
        let leaf = edited(TOPOLOGY, 1, 0, 2, 4);
        assert_eq!((leaf.eax, leaf.ebx, leaf.ecx, leaf.edx), (2, 4, 0x201, 2));
        assert_eq!(edited(SIZES_AMD, 0, 0, 0, 3).ecx, 2 | 2 << 12);
    }

    #[test]
    fn only_the_last_cache_is_shared() {
        assert_eq!(edited(CACHES_INTEL, 0, 1 | 1 << 5, 0, 4).eax >> 14 & 0xfff, 0);
        assert_eq!(edited(CACHES_INTEL, 3, 3 | 3 << 5, 0, 4).eax >> 14 & 0xfff, 3);
        assert_eq!((bits(1), bits(2), bits(3), bits(64)), (0, 1, 2, 6));
    }
}
