//! The register window of a device (virtio 1.2, 4.2.2).

use virtio_queue::QueueT as _;

use super::{
    Transport,
    bits::{MAGIC, TRANSPORT_VERSION, VENDOR, register, status},
};

impl Transport {
    /// The driver reads `data.len()` bytes at `offset`. Other than aligned words outside of the configuration space
    /// nothing is there, and reads as zero.
    pub fn read(&mut self, offset: u64, data: &mut [u8]) {
        data.fill(0);
        if let Some(at) = offset.checked_sub(register::CONFIG) {
            let config = self.device.config();
            let from = usize::try_from(at).unwrap_or(usize::MAX).min(config.len());
            for (into, byte) in data.iter_mut().zip(&config[from..]) {
                *into = *byte;
            }
        } else if let Ok(word) = <&mut [u8; 4]>::try_from(data) {
            *word = self.read_register(offset).to_le_bytes();
        }
    }

    /// The driver writes.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        if let Some(at) = offset.checked_sub(register::CONFIG) {
            self.device.write_config(at, data);
        } else if let Ok(word) = <[u8; 4]>::try_from(data) {
            self.write_register(offset, u32::from_le_bytes(word));
        }
    }

    fn read_register(&mut self, offset: u64) -> u32 {
        let queue = self.queues.get(self.selected);
        match offset {
            register::MAGIC => MAGIC,
            register::VERSION => TRANSPORT_VERSION,
            register::DEVICE_ID => self.device.id(),
            register::VENDOR_ID => VENDOR,
            register::DEVICE_FEATURES => page(self.offered(), self.features_page),
            register::QUEUE_SIZE_MAX => queue.map_or(0, |queue| queue.max_size().into()),
            register::QUEUE_READY => queue.map_or(0, |queue| queue.ready().into()),
            register::INTERRUPT_STATUS => self.interrupt.causes(),
            register::STATUS => self.status,
            // There is no shared memory: its length and its place are all ones.
            register::SHARED_MEMORY_LENGTH_LOW..=register::SHARED_MEMORY_BASE_HIGH => u32::MAX,
            register::CONFIG_GENERATION => self.generation,
            _ => 0,
        }
    }

    fn write_register(&mut self, offset: u64, value: u32) {
        match offset {
            register::DEVICE_FEATURES_SELECT => self.features_page = value,
            register::DRIVER_FEATURES_SELECT => self.driver_features_page = value,
            register::DRIVER_FEATURES => self.take_features(value),
            register::QUEUE_SELECT => self.selected = value as usize,
            register::QUEUE_NOTIFY => {
                if let Some(kick) = self.kicks.get(value as usize) {
                    let _ = kick.write(1);
                }
            }
            register::INTERRUPT_ACK => self.interrupt.acknowledge(value),
            register::STATUS => self.set_status(value),
            _ => self.write_queue(offset, value),
        }
    }

    /// Features are fixed once the driver has said so.
    fn take_features(&mut self, value: u32) {
        if self.status & status::FEATURES_OK != 0 {
            return;
        }
        let shift = match self.driver_features_page {
            0 => 0,
            1 => 32,
            _ => return,
        };
        self.driver_features = self.driver_features & !(u64::from(u32::MAX) << shift) | u64::from(value) << shift;
    }

    /// Queues are set up between the choice of features and the driver's start, and are fixed from then on.
    fn write_queue(&mut self, offset: u64, value: u32) {
        if self.status & (status::FEATURES_OK | status::DRIVER_OK) != status::FEATURES_OK {
            return;
        }
        let Some(queue) = self.queues.get_mut(self.selected) else { return };
        match offset {
            register::QUEUE_READY => queue.set_ready(value == 1),
            _ if queue.ready() => {}
            register::QUEUE_SIZE => queue.set_size(u16::try_from(value).unwrap_or(0)),
            register::QUEUE_DESCRIPTORS_LOW => queue.set_desc_table_address(Some(value), None),
            register::QUEUE_DESCRIPTORS_HIGH => queue.set_desc_table_address(None, Some(value)),
            register::QUEUE_DRIVER_LOW => queue.set_avail_ring_address(Some(value), None),
            register::QUEUE_DRIVER_HIGH => queue.set_avail_ring_address(None, Some(value)),
            register::QUEUE_DEVICE_LOW => queue.set_used_ring_address(Some(value), None),
            register::QUEUE_DEVICE_HIGH => queue.set_used_ring_address(None, Some(value)),
            _ => {}
        }
    }
}

/// The low or the high half; there are no others.
fn page(features: u64, page: u32) -> u32 {
    match page {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}
