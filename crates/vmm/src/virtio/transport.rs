//! One device behind its register window: the state that the driver makes, and the calls that follow from it.
//!
//! ```text
//! reset ─► ACKNOWLEDGE ─► DRIVER ─► FEATURES_OK ─► DRIVER_OK ─► (NEEDS_RESET)
//!   ▲                                                                 │
//!   └──────────────────── a status of zero ───────────────────────────┘
//! ```

use serde::{Deserialize, Serialize};
use virtio_queue::{Queue, QueueState, QueueT as _};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::{
    Device, Fault, Interrupt, Rings,
    bits::{EVENT_INDEX, INDIRECT, VERSION_1, status},
};
use crate::{Error, Result, memory::Memory};

/// See the module.
pub struct Transport {
    pub(super) device: Box<dyn Device>,
    pub(super) interrupt: Interrupt,
    pub(super) queues: Vec<Queue>,
    pub(super) kicks: Vec<EventFd>,
    pub(super) status: u32,
    pub(super) features_page: u32,
    pub(super) driver_features: u64,
    pub(super) driver_features_page: u32,
    pub(super) selected: usize,
    pub(super) generation: u32,
    memory: Memory,
}

/// What a snapshot has of a device and its transport.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    id: u32,
    status: u32,
    features: u64,
    causes: u32,
    generation: u32,
    selected: usize,
    features_page: u32,
    driver_features_page: u32,
    queues: Vec<SavedQueue>,
    device: serde_json::Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedQueue {
    size: u16,
    ready: bool,
    event_index: bool,
    next_available: u16,
    next_used: u16,
    descriptors: u64,
    driver: u64,
    device: u64,
}

impl Transport {
    /// Puts `device` behind a window.
    ///
    /// # Errors
    /// [`Error::System`]; [`Error::Config`] for queues of an impossible length.
    pub fn new(device: Box<dyn Device>, memory: Memory, interrupt: Interrupt) -> Result<Self> {
        let mut queues = Vec::new();
        let mut kicks = Vec::new();
        for size in device.queues() {
            queues.push(Queue::new(*size).map_err(|error| Error::Config(error.to_string()))?);
            kicks.push(EventFd::new(EFD_NONBLOCK).map_err(Error::io("make an event"))?);
        }
        Ok(Self {
            device,
            interrupt,
            queues,
            kicks,
            status: 0,
            features_page: 0,
            driver_features: 0,
            driver_features_page: 0,
            selected: 0,
            generation: 0,
            memory,
        })
    }

    /// The event of each queue, to be given to KVM and to the machine's loop.
    #[must_use]
    pub fn kicks(&self) -> &[EventFd] {
        &self.kicks
    }

    /// What the device waits for beside its queues.
    #[must_use]
    pub fn sources(&self) -> Vec<std::os::fd::BorrowedFd<'_>> {
        self.device.sources()
    }

    /// Its interrupt.
    #[must_use]
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// The device, for what only its own kind can do.
    pub fn device(&mut self) -> &mut dyn Device {
        &mut *self.device
    }

    /// A queue's event was written: the driver kicked.
    pub fn kicked(&mut self, queue: usize) {
        if let Some(kick) = self.kicks.get(queue) {
            // Without a value somebody else has read it, and the call is of no harm.
            let _ = kick.read();
        }
        self.drive(|device, rings| device.notified(queue, rings));
    }

    /// A source of the device's is ready.
    pub fn ready(&mut self, source: usize) {
        self.drive(|device, rings| device.ready(source, rings));
    }

    /// Calls the device when a driver has it in use, and breaks it when the driver broke the rules.
    pub fn drive(&mut self, call: impl FnOnce(&mut dyn Device, &mut Rings<'_>) -> Result<(), Fault>) {
        if self.status & (status::DRIVER_OK | status::NEEDS_RESET) != status::DRIVER_OK {
            return;
        }
        let mut rings = Rings::new(&self.memory, &self.interrupt, &mut self.queues);
        let outcome = call(&mut *self.device, &mut rings);
        let spent = rings.is_spent();
        drop(rings);
        if spent {
            self.kick_all();
        }
        if let Err(fault) = outcome {
            eprintln!("berth vmm: device {} stops: {fault}", self.device.id());
            self.status |= status::NEEDS_RESET;
            self.interrupt.config();
        }
    }

    /// The device's configuration has changed.
    pub fn config_changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.status & status::DRIVER_OK != 0 {
            self.interrupt.config();
        }
    }

    pub(super) fn offered(&self) -> u64 {
        self.device.features() | VERSION_1 | INDIRECT | EVENT_INDEX
    }

    /// The driver writes the status register.
    pub(super) fn set_status(&mut self, value: u32) {
        if value == 0 {
            return self.reset();
        }
        let added = value & !self.status;
        self.status |= value & 0xff & !status::NEEDS_RESET;
        if added & status::FEATURES_OK != 0 && !self.features_fit() {
            self.status &= !status::FEATURES_OK;
        }
        if added & status::DRIVER_OK != 0 && self.status & status::FEATURES_OK != 0 {
            self.start();
        } else if added & status::DRIVER_OK != 0 {
            self.status &= !status::DRIVER_OK;
        }
    }

    fn features_fit(&self) -> bool {
        self.driver_features & !self.offered() == 0 && self.driver_features & VERSION_1 != 0
    }

    fn start(&mut self) {
        for queue in &mut self.queues {
            queue.set_event_idx(self.driver_features & EVENT_INDEX != 0);
            if queue.ready() && !queue.is_valid(&self.memory) {
                eprintln!("berth vmm: device {} stops: a queue is outside of the memory", self.device.id());
                self.status |= status::NEEDS_RESET;
                self.interrupt.config();
                return;
            }
        }
        self.device.activate(self.driver_features);
        self.kick_all();
    }

    /// As if the driver had kicked every queue: what it put there before is looked at.
    fn kick_all(&self) {
        for kick in &self.kicks {
            let _ = kick.write(1);
        }
    }

    fn reset(&mut self) {
        self.device.reset();
        self.queues.iter_mut().for_each(virtio_queue::QueueT::reset);
        (self.status, self.driver_features, self.selected) = (0, 0, 0);
        (self.features_page, self.driver_features_page) = (0, 0);
        self.interrupt.set_causes(0);
    }

    /// The state for a snapshot.
    #[must_use]
    pub fn save(&self) -> Saved {
        Saved {
            id: self.device.id(),
            status: self.status,
            features: self.driver_features,
            causes: self.interrupt.causes(),
            generation: self.generation,
            selected: self.selected,
            features_page: self.features_page,
            driver_features_page: self.driver_features_page,
            queues: self.queues.iter().map(|queue| SavedQueue::of(&queue.state())).collect(),
            device: self.device.save(),
        }
    }

    /// Takes the state of a snapshot. Whatever was under way is looked at again.
    ///
    /// # Errors
    /// [`Error::Snapshot`].
    pub fn restore(&mut self, saved: &Saved) -> Result<()> {
        let refuse = |why: String| Error::Snapshot(format!("device {}: {why}", saved.id));
        if saved.id != self.device.id() || saved.queues.len() != self.queues.len() {
            return Err(refuse(format!("the machine has device {} in its place", self.device.id())));
        }
        for (queue, saved) in self.queues.iter_mut().zip(&saved.queues) {
            *queue = Queue::try_from(saved.state(queue.max_size())).map_err(|error| refuse(error.to_string()))?;
            if queue.ready() && !queue.is_valid(&self.memory) {
                return Err(refuse("a queue is outside of the memory".to_owned()));
            }
        }
        self.status = saved.status;
        self.driver_features = saved.features;
        self.generation = saved.generation;
        self.selected = saved.selected;
        (self.features_page, self.driver_features_page) = (saved.features_page, saved.driver_features_page);
        self.interrupt.set_causes(saved.causes);
        if self.status & status::DRIVER_OK != 0 {
            self.device.activate(self.driver_features);
            self.device.restore(&saved.device).map_err(refuse)?;
            self.kick_all();
            self.interrupt.repeat();
        }
        Ok(())
    }
}

impl SavedQueue {
    fn of(state: &QueueState) -> Self {
        Self {
            size: state.size,
            ready: state.ready,
            event_index: state.event_idx_enabled,
            next_available: state.next_avail,
            next_used: state.next_used,
            descriptors: state.desc_table,
            driver: state.avail_ring,
            device: state.used_ring,
        }
    }

    fn state(&self, max_size: u16) -> QueueState {
        QueueState {
            max_size,
            next_avail: self.next_available,
            next_used: self.next_used,
            event_idx_enabled: self.event_index,
            size: self.size,
            ready: self.ready,
            desc_table: self.descriptors,
            avail_ring: self.driver,
            used_ring: self.device,
        }
    }
}
