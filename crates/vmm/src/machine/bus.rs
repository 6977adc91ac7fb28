//! Where the guest's accesses go that are no memory.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use serde::Serialize;

use super::locked;
use crate::{layout, legacy::Legacy, processor::Bus, virtio::Transport};

/// Accesses so far, each of which stopped a processor.
#[derive(Debug, Default, Serialize)]
pub struct Counts {
    /// Of I/O ports.
    pub ports: AtomicU64,
    /// Of registers of virtio devices.
    pub registers: AtomicU64,
}

/// All devices.
pub(super) struct Devices {
    pub legacy: Mutex<Legacy>,
    pub virtio: Vec<Mutex<Transport>>,
    pub counts: Counts,
}

impl Devices {
    pub fn legacy(&self) -> MutexGuard<'_, Legacy> {
        self.legacy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn window(&self, address: u64) -> Option<(MutexGuard<'_, Transport>, u64)> {
        let offset = address.checked_sub(layout::VIRTIO)?;
        let transport = self.virtio.get((offset / layout::VIRTIO_BYTES) as usize)?;
        Some((locked(transport), offset % layout::VIRTIO_BYTES))
    }
}

impl Bus for Devices {
    fn port_read(&self, port: u16, data: &mut [u8]) {
        self.counts.ports.fetch_add(1, Ordering::Relaxed);
        let mut legacy = self.legacy();
        for (index, byte) in (0..).zip(data) {
            *byte = legacy.read(port.wrapping_add(index));
        }
    }

    fn port_write(&self, port: u16, data: &[u8]) {
        self.counts.ports.fetch_add(1, Ordering::Relaxed);
        let mut legacy = self.legacy();
        for (index, byte) in (0..).zip(data) {
            legacy.write(port.wrapping_add(index), *byte);
        }
    }

    fn read(&self, address: u64, data: &mut [u8]) {
        self.counts.registers.fetch_add(1, Ordering::Relaxed);
        match self.window(address) {
            Some((mut transport, offset)) => transport.read(offset, data),
            None => data.fill(0xff),
        }
    }

    fn write(&self, address: u64, data: &[u8]) {
        self.counts.registers.fetch_add(1, Ordering::Relaxed);
        if let Some((mut transport, offset)) = self.window(address) {
            transport.write(offset, data);
        }
    }
}
