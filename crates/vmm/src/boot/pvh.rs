//! What a kernel that is entered by PVH is told (xen/include/public/arch-x86/hvm/start_info.h).

use linux_loader::{
    configurator::{BootConfigurator as _, BootParams, pvh::PvhBootConfigurator},
    loader::elf::start_info::{hvm_memmap_table_entry, hvm_modlist_entry, hvm_start_info},
};
use vm_memory::GuestAddress;

use super::Told;
use crate::{Error, Result, layout, memory::Memory};

const MAGIC: u32 = 0x336e_c578;
/// The first version with a memory map.
const VERSION: u32 = 1;
const RAM: u32 = 1;
const RESERVED: u32 = 2;

pub(super) fn tell(memory: &Memory, told: &Told) -> Result<()> {
    let map: Vec<hvm_memmap_table_entry> = told
        .memory_map
        .iter()
        .map(|(addr, size, usable)| hvm_memmap_table_entry {
            addr: *addr,
            size: *size,
            type_: if *usable { RAM } else { RESERVED },
            reserved: 0,
        })
        .collect();
    let modules: Vec<hvm_modlist_entry> = told
        .initramfs
        .iter()
        .map(|(paddr, size)| hvm_modlist_entry { paddr: *paddr, size: *size, ..hvm_modlist_entry::default() })
        .collect();
    let start = hvm_start_info {
        magic: MAGIC,
        version: VERSION,
        cmdline_paddr: layout::COMMAND_LINE,
        rsdp_paddr: layout::ACPI,
        nr_modules: modules.len() as u32,
        modlist_paddr: if modules.is_empty() { 0 } else { layout::PVH_MODULES },
        memmap_paddr: layout::PVH_MEMORY_MAP,
        memmap_entries: map.len() as u32,
        ..hvm_start_info::default()
    };
    let mut parameters = BootParams::new(&start, GuestAddress(layout::PVH_START));
    parameters.set_sections(&map, GuestAddress(layout::PVH_MEMORY_MAP));
    if !modules.is_empty() {
        parameters.set_modules(&modules, GuestAddress(layout::PVH_MODULES));
    }
    PvhBootConfigurator::write_bootparams(&parameters, memory).map_err(|error| Error::Boot(error.to_string()))
}
