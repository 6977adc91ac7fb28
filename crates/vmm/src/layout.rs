//! The guest's physical address space, as numbers.
//!
//! ```text
//! 0x0000_0500  descriptor table, interrupt table            (64-bit entry)
//! 0x0000_6000  PVH start info, module list, memory map      (PVH entry)
//! 0x0000_7000  zero page                                    (64-bit entry)
//! 0x0000_9000  page tables, 3 pages                         (64-bit entry)
//! 0x0002_0000  kernel command line
//! 0x0009_fc00  end of low memory
//! 0x000e_0000  ACPI tables, the RSDP first
//! 0x0010_0000  high memory: kernel; initramfs at the end of it
//! 0xd000_0000  windows of virtio devices, 4 KiB each
//! 0xfec0_0000  IOAPIC, 0xfee0_0000 local APICs (in the kernel)
//! 0x1_0000_0000  the rest of the memory
//! ```

use crate::{Error, Result};

/// Where the global descriptor table lies.
pub const GDT: u64 = 0x500;
/// Where the (empty) interrupt descriptor table lies.
pub const IDT: u64 = 0x520;
/// `struct hvm_start_info`.
pub const PVH_START: u64 = 0x6000;
/// `struct hvm_modlist_entry`.
pub const PVH_MODULES: u64 = 0x6040;
/// `struct hvm_memmap_table_entry` table.
pub const PVH_MEMORY_MAP: u64 = 0x6100;
/// `struct boot_params`.
pub const ZERO_PAGE: u64 = 0x7000;
/// First of the page tables: PML4, PDPT, PD.
pub const PAGE_TABLES: u64 = 0x9000;
/// The stack that 64-bit entry starts with.
pub const STACK: u64 = 0x8ff0;
/// The kernel's command line.
pub const COMMAND_LINE: u64 = 0x2_0000;
/// How long it may be, its end included (arch/x86/include/asm/setup.h, `COMMAND_LINE_SIZE`).
pub const COMMAND_LINE_BYTES_MAX: usize = 2048;
/// End of the memory below the "extended BIOS data area".
pub const LOW_END: u64 = 0x9_fc00;
/// Where firmware tables begin.
pub const ACPI: u64 = 0xe_0000;
/// How long they may be.
pub const ACPI_BYTES: u64 = 0x2_0000;
/// Where high memory begins.
pub const HIGH: u64 = 0x10_0000;
/// End of what lies below the hole for devices.
pub const LOW_RAM_END: u64 = 0xc000_0000;
/// The rest of the memory begins here.
pub const HIGH_RAM: u64 = 0x1_0000_0000;
/// Windows of virtio devices.
pub const VIRTIO: u64 = 0xd000_0000;
/// Size of one window.
pub const VIRTIO_BYTES: u64 = 0x1000;
/// First interrupt of virtio devices; those below are legacy ones.
pub const VIRTIO_GSI: u32 = 5;
/// As many as the IOAPIC has pins left.
pub const VIRTIO_MAX: usize = 19;
/// The IOAPIC's registers.
pub const IOAPIC: u32 = 0xfec0_0000;
/// The local APICs' registers.
pub const LOCAL_APIC: u32 = 0xfee0_0000;
/// Three pages that Intel's KVM needs for real mode (`KVM_SET_TSS_ADDR`).
pub const KVM_TSS: u64 = 0xfffb_d000;

/// A page.
pub const PAGE_BYTES: u64 = 4096;
/// The least memory that a machine is built with.
pub const MEMORY_BYTES_MIN: u64 = 2 << 20;
/// The most.
pub const MEMORY_BYTES_MAX: u64 = 1 << 40;
/// The most virtual processors.
pub const VCPUS_MAX: u32 = 64;

/// Address and length of each stretch of memory.
///
/// # Errors
/// [`Error::Memory`] for a size that no machine is built with.
pub fn memory(bytes: u64) -> Result<Vec<(u64, u64)>> {
    if !(MEMORY_BYTES_MIN..=MEMORY_BYTES_MAX).contains(&bytes) || !bytes.is_multiple_of(PAGE_BYTES) {
        return Err(Error::Memory(format!("{bytes} bytes are not between 2 MiB and 1 TiB in pages of 4 KiB")));
    }
    let low = bytes.min(LOW_RAM_END);
    let mut ranges = vec![(0, low)];
    if bytes > low {
        ranges.push((HIGH_RAM, bytes - low));
    }
    Ok(ranges)
}

/// What the guest is told of its memory: address, length, whether it may be used.
#[must_use]
pub fn memory_map(ranges: &[(u64, u64)]) -> Vec<(u64, u64, bool)> {
    let mut map = vec![(0, LOW_END, true), (LOW_END, HIGH - LOW_END, false)];
    for (start, len) in ranges {
        let from = (*start).max(HIGH);
        map.push((from, start + len - from, true));
    }
    map
}

/// The window of the `index`th virtio device.
#[must_use]
pub const fn virtio_window(index: usize) -> u64 {
    VIRTIO + index as u64 * VIRTIO_BYTES
}

/// Its interrupt.
#[must_use]
pub const fn virtio_gsi(index: usize) -> u32 {
    VIRTIO_GSI + index as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_goes_around_the_hole_for_devices() {
        assert_eq!(memory(128 << 20).expect("small"), [(0, 128 << 20)]);
        assert_eq!(memory(5 << 30).expect("large"), [(0, 3 << 30), (4 << 30, 2 << 30)]);
        for bytes in [0, 4096, (1 << 40) + 4096, (128 << 20) + 1, u64::MAX] {
            assert!(memory(bytes).is_err(), "{bytes}");
        }
    }

    #[test]
    fn the_map_covers_all_memory_once_but_for_firmware() {
        let map = memory_map(&memory(5 << 30).expect("ranges"));
        let usable: u64 = map.iter().filter(|one| one.2).map(|one| one.1).sum();
        assert_eq!(usable, (5 << 30) - (HIGH - LOW_END));
        assert!(map.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
    }

    #[test]
    fn windows_and_interrupts_end_where_others_begin() {
        assert!(virtio_window(VIRTIO_MAX) < u64::from(IOAPIC));
        assert_eq!(virtio_gsi(VIRTIO_MAX - 1), 23);
    }
}
