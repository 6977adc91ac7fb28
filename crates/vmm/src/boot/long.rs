//! What a kernel that is entered in 64-bit mode is told, and what it runs on until it has tables of its own
//! (Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"; zero-page.rst).

use linux_loader::{
    configurator::{BootConfigurator as _, BootParams, linux::LinuxBootConfigurator},
    loader::bootparam::{boot_e820_entry, boot_params},
};
use vm_memory::{Bytes as _, GuestAddress};

use super::Told;
use crate::{Error, Result, layout, memory::Memory};

const BOOT_FLAG: u16 = 0xaa55;
/// `HdrS`.
const HEADER: u32 = 0x5372_6448;
/// "Undefined" loader.
const LOADER: u8 = 0xff;
const KERNEL_ALIGNMENT: u32 = 0x100_0000;
const RAM: u32 = 1;
const RESERVED: u32 = 2;
/// Present and writable; in the last level also a page of 2 MiB.
const TABLE: u64 = 0x3;
const LARGE_PAGE: u64 = 0x83;

pub(super) fn tell(memory: &Memory, told: &Told, command_line_bytes: usize) -> Result<()> {
    let mut zero = boot_params::default();
    zero.hdr.type_of_loader = LOADER;
    zero.hdr.boot_flag = BOOT_FLAG;
    zero.hdr.header = HEADER;
    zero.hdr.kernel_alignment = KERNEL_ALIGNMENT;
    zero.hdr.cmd_line_ptr = layout::COMMAND_LINE as u32;
    zero.hdr.cmdline_size = command_line_bytes as u32;
    if let Some((at, bytes)) = told.initramfs {
        zero.hdr.ramdisk_image = at as u32;
        zero.hdr.ramdisk_size = bytes as u32;
    }
    for (slot, (addr, size, usable)) in zero.e820_table.iter_mut().zip(&told.memory_map) {
        *slot = boot_e820_entry { addr: *addr, size: *size, r#type: if *usable { RAM } else { RESERVED } };
    }
    zero.e820_entries = told.memory_map.len() as u8;
    let parameters = BootParams::new(&zero, GuestAddress(layout::ZERO_PAGE));
    LinuxBootConfigurator::write_bootparams(&parameters, memory).map_err(|error| Error::Boot(error.to_string()))?;
    map_first_gigabyte(memory).map_err(Error::memory)
}

fn map_first_gigabyte(memory: &Memory) -> Result<(), vm_memory::GuestMemoryError> {
    let [top, middle, last] = [0, 1, 2].map(|level| layout::PAGE_TABLES + level * layout::PAGE_BYTES);
    memory.write_obj(middle | TABLE, GuestAddress(top))?;
    memory.write_obj(last | TABLE, GuestAddress(middle))?;
    for index in 0..512_u64 {
        memory.write_obj(index << 21 | LARGE_PAGE, GuestAddress(last + index * 8))?;
    }
    Ok(())
}
