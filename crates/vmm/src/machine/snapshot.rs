//! A machine written down, and built again from it.
//!
//! ```text
//! <directory>/state    JSON, a line: version, shape, processors, interrupt controllers, clock, devices
//! <directory>/memory   the guest's memory, holes where it is zero; mapped privately by each machine that goes on from it
//! ```
//!
//! Files are made anew and never changed: any number of machines may go on from one snapshot.

use std::{
    fs::File,
    io::{BufWriter, Read as _, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use kvm_bindings::{KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, kvm_clock_data, kvm_irqchip};
use kvm_ioctls::VmFd;
use serde::{Deserialize, Serialize};
use vm_memory::{Bytes as _, GuestMemoryBackend as _, GuestMemoryRegion as _, MemoryRegionAddress};

use super::{Machine, bus::Devices, locked};
use crate::{
    Error, Result,
    config::Config,
    memory,
    processor::{Processor, State},
    virtio::Saved,
};

/// Version of the state's form. Another one is refused.
const VERSION: u32 = 1;
/// The state's file.
pub const STATE_FILE: &str = "state";
/// The memory's file.
pub const MEMORY_FILE: &str = "memory";
/// The longest state that is read, in bytes.
const STATE_BYTES_MAX: u64 = 64 << 20;
/// Memory is looked at and written in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;
const CHIPS: [u32; 3] = [KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, KVM_IRQCHIP_IOAPIC];

/// The state of everything but the memory.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    memory_bytes: u64,
    processors: Vec<State>,
    chips: Vec<kvm_irqchip>,
    clock: kvm_clock_data,
    devices: Vec<Saved>,
    serial: crate::legacy::Registers,
}

/// A snapshot that was read.
pub(super) struct Snapshot {
    directory: PathBuf,
    written: Written,
}

impl Machine {
    /// Writes the machine, which is paused, into `directory`, which is made.
    ///
    /// # Errors
    /// [`Error::File`]; [`Error::Kvm`] for a state that KVM does not tell.
    pub fn snapshot(&mut self, directory: &Path) -> Result<()> {
        std::fs::create_dir_all(directory).map_err(Error::file("make", directory))?;
        self.write_memory(&directory.join(MEMORY_FILE))?;
        let written = Written {
            version: VERSION,
            memory_bytes: self.memory_bytes,
            processors: self.processors.save(&self.msrs)?,
            chips: CHIPS.iter().map(|chip| read_chip(&self.vm, *chip)).collect::<Result<_>>()?,
            clock: self.vm.get_clock().map_err(Error::kvm("give its clock"))?,
            devices: self.bus.virtio.iter().map(|transport| locked(transport).save()).collect(),
            serial: self.bus.legacy().save_serial(),
        };
        let path = directory.join(STATE_FILE);
        let mut file = BufWriter::new(File::create(&path).map_err(Error::file("make", &path))?);
        let text = serde_json::to_writer(&mut file, &written).map_err(std::io::Error::from);
        text.and_then(|()| file.write_all(b"\n")).and_then(|()| file.flush()).map_err(Error::file("write", &path))
    }

    fn write_memory(&self, path: &Path) -> Result<()> {
        let failed = |error: std::io::Error| Error::file("write", path)(error);
        // A new file: machines that went on from one of this name keep theirs.
        let _ = std::fs::remove_file(path);
        let file = File::create_new(path).map_err(Error::file("make", path))?;
        file.set_len(self.memory_bytes).map_err(failed)?;
        let mut piece = vec![0; PIECE_BYTES];
        let mut offset = 0;
        for region in self.memory.iter() {
            for at in (0..region.len()).step_by(PIECE_BYTES) {
                let bytes = (region.len() - at).min(PIECE_BYTES as u64) as usize;
                region.read_slice(&mut piece[..bytes], MemoryRegionAddress(at)).map_err(Error::memory)?;
                if piece[..bytes].iter().any(|byte| *byte != 0) {
                    file.write_all_at(&piece[..bytes], offset + at).map_err(failed)?;
                }
            }
            offset += region.len();
        }
        Ok(())
    }
}

impl Snapshot {
    /// Reads the state in `directory`.
    pub fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(STATE_FILE);
        let file = File::open(&path).map_err(Error::file("open", &path))?;
        let mut bytes = Vec::new();
        file.take(STATE_BYTES_MAX).read_to_end(&mut bytes).map_err(Error::file("read", &path))?;
        Ok(Self { directory: directory.to_owned(), written: parse(&bytes)? })
    }

    /// The memory, to be mapped.
    pub fn memory(&self) -> Result<File> {
        memory::open(&self.directory.join(MEMORY_FILE))
    }

    /// Gives a machine that was just built the state.
    pub fn restore(&self, config: &Config, vm: &VmFd, processors: &[Processor], bus: &Devices) -> Result<()> {
        let Written { memory_bytes, processors: states, chips, clock, devices, serial, .. } = &self.written;
        let shape = (*memory_bytes, states.len(), devices.len());
        let expected = (config.memory_bytes, processors.len(), bus.virtio.len());
        if shape != expected {
            return Err(Error::Snapshot(format!(
                "it has (memory, processors, devices) {shape:?}, and the configuration {expected:?}"
            )));
        }
        for chip in chips {
            vm.set_irqchip(chip).map_err(Error::kvm("take interrupt controllers"))?;
        }
        let clock = kvm_clock_data { clock: clock.clock, ..kvm_clock_data::default() };
        vm.set_clock(&clock).map_err(Error::kvm("take the clock"))?;
        for (processor, state) in processors.iter().zip(states) {
            processor.restore(state)?;
        }
        bus.legacy().restore_serial(serial)?;
        bus.virtio.iter().zip(devices).try_for_each(|(transport, saved)| locked(transport).restore(saved))
    }
}

fn parse(bytes: &[u8]) -> Result<Written> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let refuse = |error: serde_json::Error| Error::Snapshot(error.to_string());
    let Version { version } = serde_json::from_slice(bytes).map_err(refuse)?;
    if version != VERSION {
        return Err(Error::Snapshot(format!("its version is {version}, and this monitor reads {VERSION}")));
    }
    serde_json::from_slice(bytes).map_err(refuse)
}

fn read_chip(vm: &VmFd, chip_id: u32) -> Result<kvm_irqchip> {
    let mut chip = kvm_irqchip { chip_id, ..kvm_irqchip::default() };
    vm.get_irqchip(&mut chip).map_err(Error::kvm("give interrupt controllers"))?;
    Ok(chip)
}
