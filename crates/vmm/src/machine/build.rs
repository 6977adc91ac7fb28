//! The recipe of a machine: from a configuration to processors that wait for their start.

use std::{
    io::Write,
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
};

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::{IoEventAddress, Kvm, VmFd};
use rustix::event::epoll;
use vm_memory::{Address as _, GuestMemoryBackend as _, GuestMemoryRegion as _};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::{Counts, Machine, Phase, bus::Devices, control, snapshot::Snapshot, turn};
use crate::{
    Error, Result, acpi, boot,
    config::Config,
    layout,
    legacy::{End, Legacy, SERIAL_GSI},
    memory::{self, Backing, Memory},
    processor::{Bus, Processor, Processors},
    virtio::{
        Device, Interrupt, Transport,
        balloon::{Balloon, Gauge},
        bits::register,
        block::Block,
        console::Console,
        entropy::Entropy,
        net::Net,
    },
};

impl Machine {
    /// Builds the machine of a configuration. Its serial port writes to `output`.
    ///
    /// # Errors
    /// What cannot be opened, and what KVM refuses.
    pub fn build(config: &Config, output: Box<dyn Write + Send>) -> Result<Self> {
        let snapshot = config.restore.as_deref().map(Snapshot::open).transpose()?;
        let kvm = Kvm::new().map_err(Error::kvm("open"))?;
        let vm = kvm.create_vm().map_err(Error::kvm("make a machine"))?;
        let backing = match &snapshot {
            Some(snapshot) => Backing::CopyOnWrite(snapshot.memory()?),
            None => Backing::Anonymous,
        };
        let memory = memory::map(config.memory_bytes, backing)?;
        give_memory(&vm, &memory)?;
        make_interrupts(&vm)?;
        let end = End::new()?;
        let serial = line(&vm, SERIAL_GSI)?;
        let legacy = Legacy::new(serial, output, end.clone());
        let (devices, gauge) = devices(config)?;
        let virtio = plug(&vm, &memory, devices)?;
        let bus = Arc::new(Devices { legacy: Mutex::new(legacy), virtio, counts: Counts::default() });
        let processors = (0..config.vcpus)
            .map(|index| Processor::new(&kvm, &vm, index, config.vcpus))
            .collect::<Result<Vec<_>>>()?;
        let msrs = kvm.get_msr_index_list().map_err(Error::kvm("tell its registers"))?.as_slice().to_vec();
        match &snapshot {
            Some(snapshot) => snapshot.restore(config, &vm, &processors, &bus)?,
            None => start(config, &memory, &processors, bus.virtio.len())?,
        }
        let set = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Error::errno("make an event set"))?;
        let control = config.control.as_deref().map(control::Door::open).transpose()?;
        if config.jail {
            crate::jail::close_files(config.snapshots.as_deref())?;
        }
        let shared: Arc<dyn Bus> = Arc::clone(&bus) as Arc<dyn Bus>;
        let processors = Processors::start(processors, &shared, &end)?;
        let machine = Self {
            processors,
            phase: Phase::Paused,
            bus,
            vm,
            msrs,
            memory,
            memory_bytes: config.memory_bytes,
            gauge,
            end,
            set,
            control,
            restored: config.restore.clone(),
            jail: config.jail,
        };
        turn::watch_all(&machine)?;
        Ok(machine)
    }
}

/// What a booting guest finds in its memory.
fn start(config: &Config, memory: &Memory, processors: &[Processor], devices: usize) -> Result<()> {
    acpi::write(memory, config.vcpus, devices)?;
    let start = boot::load(memory, config)?;
    processors.iter().try_for_each(|processor| processor.prepare(memory, start))
}

fn give_memory(vm: &VmFd, memory: &Memory) -> Result<()> {
    for (slot, region) in (0..).zip(memory.iter()) {
        let at = memory.get_host_address(region.start_addr()).map_err(Error::memory)?;
        let region = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: region.start_addr().raw_value(),
            memory_size: region.len(),
            userspace_addr: at as u64,
        };
        // SAFETY: the region is a mapping of its size, which lives as long as the machine does, and longer than its
        // processors.
        unsafe { vm.set_user_memory_region(region) }.map_err(Error::kvm("take memory"))?;
    }
    Ok(())
}

/// Interrupt controllers in the kernel: neither PIT nor PIC is ever programmed by a guest that has read its tables.
fn make_interrupts(vm: &VmFd) -> Result<()> {
    vm.set_tss_address(layout::KVM_TSS as usize).map_err(Error::kvm("take its own pages"))?;
    vm.create_irq_chip().map_err(Error::kvm("make interrupt controllers"))
}

/// An event that pulls an interrupt line.
fn line(vm: &VmFd, gsi: u32) -> Result<EventFd> {
    let event = EventFd::new(EFD_NONBLOCK).map_err(Error::io("make an event"))?;
    vm.register_irqfd(&event, gsi).map_err(Error::kvm("join an event to an interrupt"))?;
    Ok(event)
}

/// Devices in the order of their windows.
type Made = (Vec<Box<dyn Device>>, Option<Arc<Gauge>>);

fn devices(config: &Config) -> Result<Made> {
    let mut devices: Vec<Box<dyn Device>> = Vec::new();
    if !config.ports.is_empty() {
        devices.push(Box::new(Console::new(&config.ports)?));
    }
    for disk in &config.disks {
        devices.push(Box::new(Block::new(disk)?));
    }
    for nic in &config.nics {
        devices.push(Box::new(Net::new(nic)?));
    }
    if config.entropy {
        devices.push(Box::new(Entropy));
    }
    let gauge = config.balloon.then(Arc::<Gauge>::default);
    if let Some(gauge) = &gauge {
        devices.push(Box::new(Balloon::new(Arc::clone(gauge))));
    }
    Ok((devices, gauge))
}

/// Puts each device behind its window; its queues' kicks become events in the kernel.
fn plug(vm: &VmFd, memory: &Memory, devices: Vec<Box<dyn Device>>) -> Result<Vec<Mutex<Transport>>> {
    let mut plugged = Vec::with_capacity(devices.len());
    for (index, device) in devices.into_iter().enumerate() {
        let interrupt = Interrupt::new(line(vm, layout::virtio_gsi(index))?);
        let transport = Transport::new(device, memory.clone(), interrupt)?;
        let notify = IoEventAddress::Mmio(layout::virtio_window(index) + register::QUEUE_NOTIFY);
        for (queue, kick) in (0_u32..).zip(transport.kicks()) {
            vm.register_ioevent(kick, &notify, queue).map_err(Error::kvm("join a kick to an event"))?;
        }
        plugged.push(Mutex::new(transport));
    }
    Ok(plugged)
}

/// Whether an event set can be made of these.
pub(super) fn add(set: &OwnedFd, what: impl std::os::fd::AsFd, token: u64, edges: bool) -> Result<()> {
    let edge = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
    let flags = if edges { edge } else { epoll::EventFlags::IN };
    epoll::add(set, what, epoll::EventData::new_u64(token), flags).map_err(Error::errno("watch a descriptor"))
}
