//! What lies in memory when the first virtual processor starts: kernel, initramfs, command line, and the structures by
//! which a kernel is told of them.

mod long;
mod pvh;

use std::{fs::File, path::Path};

use linux_loader::loader::{Cmdline, Elf, KernelLoader as _, elf::PvhBootCapability, load_cmdline};
use vm_memory::{Bytes as _, GuestAddress, GuestMemoryBackend as _};

use crate::{
    Error, Result,
    config::{Config, Entry},
    layout,
    memory::Memory,
};

/// In which mode, and where, the first processor starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// 32-bit protected mode without paging; `ebx` is the address of the start info.
    Pvh(u64),
    /// 64-bit mode with identity-mapped pages; `rsi` is the address of the zero page.
    Long(u64),
}

/// What both protocols tell the kernel.
struct Told {
    /// Address and length.
    initramfs: Option<(u64, u64)>,
    memory_map: Vec<(u64, u64, bool)>,
}

/// Loads everything.
///
/// # Errors
/// [`Error::File`]; [`Error::Boot`] for an image that is none, or too large.
pub fn load(memory: &Memory, config: &Config) -> Result<Start> {
    let mut image = File::open(&config.kernel).map_err(Error::file("open", &config.kernel))?;
    let high = Some(GuestAddress(layout::HIGH));
    let loaded = Elf::load(memory, None, &mut image, high)
        .map_err(|error| Error::Boot(format!("{}: {error}", config.kernel.display())))?;
    let initramfs = match &config.initramfs {
        Some(path) => Some(load_initramfs(memory, path, loaded.kernel_end)?),
        None => None,
    };
    write_command_line(memory, &config.command_line)?;
    let ranges = layout::memory(config.memory_bytes)?;
    let told = Told { initramfs, memory_map: layout::memory_map(&ranges) };
    match (config.entry, loaded.pvh_boot_cap) {
        (Entry::Auto | Entry::Pvh, PvhBootCapability::PvhEntryPresent(at)) => {
            pvh::tell(memory, &told)?;
            Ok(Start::Pvh(at.0))
        }
        (Entry::Pvh, _) => Err(Error::Boot(format!("{} has no PVH entry", config.kernel.display()))),
        (Entry::Auto | Entry::Long, _) => {
            long::tell(memory, &told, config.command_line.len())?;
            Ok(Start::Long(loaded.kernel_load.0))
        }
    }
}

/// Puts an initramfs at the end of the memory below the devices; address and length.
fn load_initramfs(memory: &Memory, path: &Path, kernel_end: u64) -> Result<(u64, u64)> {
    let mut file = File::open(path).map_err(Error::file("open", path))?;
    let bytes = file.metadata().map_err(Error::file("look at", path))?.len();
    let end = memory.iter().next().map_or(0, vm_memory::GuestMemoryRegion::len);
    let at = end.checked_sub(bytes).map(|at| at & !(layout::PAGE_BYTES - 1)).filter(|at| *at >= kernel_end);
    let at =
        at.ok_or_else(|| Error::Boot(format!("{} ({bytes} bytes) does not fit into the memory", path.display())))?;
    memory
        .read_exact_volatile_from(GuestAddress(at), &mut file, bytes as usize)
        .map_err(|error| Error::Boot(format!("{}: {error}", path.display())))?;
    Ok((at, bytes))
}

fn write_command_line(memory: &Memory, text: &str) -> Result<()> {
    let refuse = |error: &dyn std::fmt::Display| Error::Boot(format!("the command line: {error}"));
    let mut line = Cmdline::new(layout::COMMAND_LINE_BYTES_MAX).map_err(|error| refuse(&error))?;
    if !text.is_empty() {
        line.insert_str(text).map_err(|error| refuse(&error))?;
    }
    load_cmdline(memory, GuestAddress(layout::COMMAND_LINE), &line).map_err(|error| refuse(&error))
}
