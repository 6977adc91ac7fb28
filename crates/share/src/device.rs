//! The device's half that is not in the monitor: queues in the guest's memory, handed over by vhost-user
//! (QEMU, docs/interop/vhost-user.rst; virtio 1.2, section 5.11).
//!
//! ```text
//! queue 0   what must not wait: forgotten numbers, interrupts
//! queue 1   requests
//! ```

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use vhost::VhostUserMemoryRegionBase;
use vhost::vhost_user::{
    BackendReqHandler, Error, GpuBackend, Result, VhostUserBackendReqHandlerMut, VhostUserProtocolFeatures,
    message::{
        VhostTransferStateDirection, VhostTransferStatePhase, VhostUserConfigFlags, VhostUserInflight, VhostUserLog,
        VhostUserMemoryRegion, VhostUserShMemConfig, VhostUserSharedMsg, VhostUserSingleMemoryRegion,
        VhostUserVirtioFeatures, VhostUserVringAddrFlags, VhostUserVringState,
    },
};
use virtio_queue::{Queue, QueueT as _, Reader, Writer};
use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap, GuestRegionMmap, MmapRegion};

use crate::{abi::REQUEST_MAX, server::Server};

/// How many queues there are.
const QUEUES: usize = 2;
/// The longest queue, in descriptors.
const QUEUE_LEN_MAX: u16 = 1024;
/// Regions of memory.
const REGIONS_MAX: usize = 8;
/// The longest answer, in bytes.
const ANSWER_MAX: usize = REQUEST_MAX;
/// Virtio's own features (virtio 1.2, section 6): indirect descriptors, event indexes, version 1.
const FEATURES: u64 = 1 << 28 | 1 << 29 | 1 << 32;

#[derive(Debug)]
struct Ring {
    queue: Queue,
    kick: Option<File>,
    call: Option<File>,
    enabled: bool,
}

/// A part of the guest's memory as the monitor's own addresses name it.
#[derive(Debug, Clone, Copy)]
struct Window {
    monitor: u64,
    guest: u64,
    bytes: u64,
}

#[derive(Debug)]
struct Device {
    server: Server,
    memory: GuestMemoryMmap<()>,
    windows: Vec<Window>,
    rings: [Ring; QUEUES],
    features: u64,
}

/// Serves the monitor at the other end of `stream` until it leaves.
///
/// # Errors
/// What the monitor said that is not vhost-user, and the kernel's refusals.
pub fn serve(stream: UnixStream, server: Server) -> std::io::Result<()> {
    let other = |error: Error| std::io::Error::other(format!("the monitor: {error}"));
    let device = Arc::new(Mutex::new(Device::new(server)?));
    let mut handler = BackendReqHandler::from_stream(stream.try_clone()?, Arc::clone(&device));
    loop {
        let kicks: Vec<(usize, OwnedFd)> = lock(&device).kicks();
        let mut sets: Vec<PollFd<'_>> = vec![PollFd::new(&stream, PollFlags::IN)];
        sets.extend(kicks.iter().map(|(_, kick)| PollFd::new(kick, PollFlags::IN)));
        match poll(&mut sets, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let ready: Vec<bool> = sets.iter().map(|set| !set.revents().is_empty()).collect();
        for ((index, kick), _) in kicks.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            lock(&device).kicked(*index, kick.as_fd())?;
        }
        if ready[0] {
            match handler.handle_request() {
                Ok(()) => {}
                Err(Error::Disconnected | Error::SocketBroken(_)) => return Ok(()),
                Err(Error::SocketRetry(_)) => {}
                Err(error) => return Err(other(error)),
            }
        }
    }
}

fn lock(device: &Mutex<Device>) -> MutexGuard<'_, Device> {
    device.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device {
    fn new(server: Server) -> std::io::Result<Self> {
        let ring = || {
            let queue = Queue::new(QUEUE_LEN_MAX).map_err(|error| std::io::Error::other(error.to_string()))?;
            Ok::<_, std::io::Error>(Ring { queue, kick: None, call: None, enabled: false })
        };
        let (rings, memory) = ([ring()?, ring()?], GuestMemoryMmap::new());
        Ok(Self { server, memory, windows: Vec::new(), rings, features: 0 })
    }

    /// Copies of the descriptors by which the guest says that there is something to do.
    fn kicks(&self) -> Vec<(usize, OwnedFd)> {
        let running = self.rings.iter().enumerate().filter(|(_, ring)| ring.enabled && ring.queue.ready());
        running
            .filter_map(|(index, ring)| {
                let kick = ring.kick.as_ref()?;
                Some((index, rustix::io::fcntl_dupfd_cloexec(kick, 3).ok()?))
            })
            .collect()
    }

    fn kicked(&mut self, index: usize, kick: BorrowedFd<'_>) -> std::io::Result<()> {
        let mut count = [0; 8];
        match rustix::io::read(kick, &mut count) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        self.drain(index)
    }

    /// Answers all that a queue holds.
    fn drain(&mut self, index: usize) -> std::io::Result<()> {
        let bad = |error: virtio_queue::Error| std::io::Error::other(format!("the guest's queue: {error}"));
        let Self { server, memory, rings, .. } = self;
        let Ring { queue, call, .. } = &mut rings[index];
        if !queue.ready() || !queue.is_valid(memory) {
            return Ok(());
        }
        loop {
            queue.disable_notification(memory).map_err(bad)?;
            while let Some(chain) = queue.pop_descriptor_chain(&*memory) {
                let head = chain.head_index();
                let written = carry(server, memory, chain);
                queue.add_used(memory, head, written).map_err(bad)?;
                if let (true, Some(call)) = (queue.needs_notification(memory).map_err(bad)?, &call) {
                    rustix::io::write(call, &1_u64.to_ne_bytes())?;
                }
            }
            if !queue.enable_notification(memory).map_err(bad)? {
                return Ok(());
            }
        }
    }

    /// The guest's address for the monitor's.
    fn translate(&self, address: u64) -> Result<GuestAddress> {
        let found = self.windows.iter().find_map(|window| {
            let offset = address.checked_sub(window.monitor).filter(|offset| *offset < window.bytes)?;
            window.guest.checked_add(offset)
        });
        found.map(GuestAddress).ok_or(Error::InvalidParam)
    }

    fn ring(&mut self, index: u32) -> Result<&mut Ring> {
        self.rings.get_mut(index as usize).ok_or(Error::InvalidParam)
    }
}

/// One request out of a chain of descriptors, its answer into it; how many bytes that is. A chain that is none is
/// given back without an answer: the guest harms itself alone.
fn carry<M>(server: &mut Server, memory: &GuestMemoryMmap<()>, chain: virtio_queue::DescriptorChain<M>) -> u32
where
    M: std::ops::Deref<Target = GuestMemoryMmap<()>> + Clone,
{
    let Ok(mut reader) = Reader::new(memory, chain.clone()) else { return 0 };
    let Ok(mut writer) = Writer::new(memory, chain) else { return 0 };
    if reader.available_bytes() > REQUEST_MAX {
        return 0;
    }
    let mut request = vec![0; reader.available_bytes()];
    if reader.read_exact(&mut request).is_err() {
        return 0;
    }
    let room = writer.available_bytes().min(ANSWER_MAX);
    let Some(answer) = server.answer(&request, room) else { return 0 };
    if answer.len() > room || writer.write_all(&answer).is_err() {
        return 0;
    }
    answer.len() as u32
}

/// For what this device has not.
fn refuse<T>() -> Result<T> {
    Err(Error::InvalidOperation("this device has no such thing"))
}

impl VhostUserBackendReqHandlerMut for Device {
    fn set_owner(&mut self) -> Result<()> {
        Ok(())
    }

    fn reset_owner(&mut self) -> Result<()> {
        Ok(())
    }

    fn reset_device(&mut self) -> Result<()> {
        for ring in &mut self.rings {
            ring.queue.reset();
            (ring.enabled, ring.kick, ring.call) = (false, None, None);
        }
        Ok(())
    }

    fn get_features(&mut self) -> Result<u64> {
        Ok(FEATURES | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits())
    }

    fn set_features(&mut self, features: u64) -> Result<()> {
        if features & !(FEATURES | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()) != 0 {
            return Err(Error::InvalidParam);
        }
        self.features = features;
        for ring in &mut self.rings {
            ring.queue.set_event_idx(features & 1 << 29 != 0);
            // Without the protocol's own features, rings need not be enabled one by one.
            ring.enabled |= features & VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits() == 0;
        }
        Ok(())
    }

    fn set_mem_table(
        &mut self,
        regions: &[VhostUserMemoryRegion],
        files: Vec<File>,
        _postcopy_listening: Option<bool>,
    ) -> Result<Option<Vec<VhostUserMemoryRegionBase>>> {
        if regions.len() > REGIONS_MAX || regions.len() != files.len() {
            return Err(Error::InvalidParam);
        }
        let (mut mapped, mut windows) = (Vec::new(), Vec::new());
        for (region, file) in regions.iter().zip(files) {
            let size = usize::try_from(region.memory_size).map_err(|_| Error::InvalidParam)?;
            let mapping = MmapRegion::from_file(FileOffset::new(file, region.mmap_offset), size)
                .map_err(|error| Error::ReqHandlerError(std::io::Error::other(error.to_string())))?;
            let region_of_guest = GuestRegionMmap::new(mapping, GuestAddress(region.guest_phys_addr));
            mapped.push(region_of_guest.ok_or(Error::InvalidParam)?);
            let (monitor, guest, bytes) = (region.user_addr, region.guest_phys_addr, region.memory_size);
            windows.push(Window { monitor, guest, bytes });
        }
        mapped.sort_by_key(vm_memory::GuestMemoryRegion::start_addr);
        self.memory = GuestMemoryMmap::from_regions(mapped).map_err(|_| Error::InvalidParam)?;
        self.windows = windows;
        Ok(None)
    }

    fn set_vring_num(&mut self, index: u32, num: u32) -> Result<()> {
        let size = u16::try_from(num).map_err(|_| Error::InvalidParam)?;
        self.ring(index)?.queue.try_set_size(size).map_err(|_| Error::InvalidParam)
    }

    fn set_vring_addr(
        &mut self,
        index: u32,
        _flags: VhostUserVringAddrFlags,
        descriptor: u64,
        used: u64,
        available: u64,
        _log: u64,
    ) -> Result<()> {
        let (descriptor, used, available) =
            (self.translate(descriptor)?, self.translate(used)?, self.translate(available)?);
        let queue = &mut self.ring(index)?.queue;
        let set = queue
            .try_set_desc_table_address(descriptor)
            .and_then(|()| queue.try_set_used_ring_address(used))
            .and_then(|()| queue.try_set_avail_ring_address(available));
        set.map_err(|_| Error::InvalidParam)
    }

    fn set_vring_base(&mut self, index: u32, base: u32) -> Result<()> {
        let queue = &mut self.ring(index)?.queue;
        queue.set_next_avail(base as u16);
        queue.set_next_used(base as u16);
        Ok(())
    }

    fn get_vring_base(&mut self, index: u32) -> Result<VhostUserVringState> {
        let ring = self.ring(index)?;
        let base = ring.queue.next_avail();
        // The ring stops with this question.
        ring.queue.set_ready(false);
        (ring.kick, ring.call) = (None, None);
        Ok(VhostUserVringState::new(index, base.into()))
    }

    fn set_vring_kick(&mut self, index: u8, fd: Option<File>) -> Result<()> {
        let ring = self.ring(index.into())?;
        ring.kick = fd;
        ring.queue.set_ready(true);
        Ok(())
    }

    fn set_vring_call(&mut self, index: u8, fd: Option<File>) -> Result<()> {
        self.ring(index.into())?.call = fd;
        Ok(())
    }

    fn set_vring_err(&mut self, _index: u8, _fd: Option<File>) -> Result<()> {
        Ok(())
    }

    fn get_protocol_features(&mut self) -> Result<VhostUserProtocolFeatures> {
        Ok(VhostUserProtocolFeatures::MQ | VhostUserProtocolFeatures::REPLY_ACK)
    }

    fn set_protocol_features(&mut self, _features: u64) -> Result<()> {
        Ok(())
    }

    fn get_queue_num(&mut self) -> Result<u64> {
        Ok(QUEUES as u64)
    }

    fn set_vring_enable(&mut self, index: u32, enable: bool) -> Result<()> {
        self.ring(index)?.enabled = enable;
        Ok(())
    }

    fn get_config(&mut self, _offset: u32, _size: u32, _flags: VhostUserConfigFlags) -> Result<Vec<u8>> {
        refuse()
    }

    fn set_config(&mut self, _offset: u32, _buf: &[u8], _flags: VhostUserConfigFlags) -> Result<()> {
        refuse()
    }

    fn set_gpu_socket(&mut self, _gpu_backend: GpuBackend) -> Result<()> {
        refuse()
    }

    fn get_shared_object(&mut self, _uuid: VhostUserSharedMsg) -> Result<File> {
        refuse()
    }

    fn get_inflight_fd(&mut self, _inflight: &VhostUserInflight) -> Result<(VhostUserInflight, File)> {
        refuse()
    }

    fn set_inflight_fd(&mut self, _inflight: &VhostUserInflight, _file: File) -> Result<()> {
        refuse()
    }

    fn get_max_mem_slots(&mut self) -> Result<u64> {
        Ok(REGIONS_MAX as u64)
    }

    fn add_mem_region(
        &mut self,
        _region: &VhostUserSingleMemoryRegion,
        _fd: File,
        _postcopy_listening: Option<bool>,
    ) -> Result<Option<VhostUserMemoryRegionBase>> {
        refuse()
    }

    fn remove_mem_region(&mut self, _region: &VhostUserSingleMemoryRegion) -> Result<()> {
        refuse()
    }

    fn set_device_state_fd(
        &mut self,
        _direction: VhostTransferStateDirection,
        _phase: VhostTransferStatePhase,
        _fd: File,
    ) -> Result<Option<File>> {
        refuse()
    }

    fn check_device_state(&mut self) -> Result<()> {
        refuse()
    }

    fn get_shmem_config(&mut self) -> Result<VhostUserShMemConfig> {
        refuse()
    }

    fn set_log_base(&mut self, _log: &VhostUserLog, _file: File) -> Result<()> {
        refuse()
    }
}
