//! Para-virtual devices (virtio 1.2), one folder each.
//!
//! ```text
//! guest ── registers ──► Transport (mmio) ── status, features, queues, configuration ──► Device
//!       ── kick ────────► an event, which the machine's loop turns into `Device::notified`
//!       ◄─ interrupt ──── Interrupt
//! ```
//!
//! A device is driven by one thread. What it is handed for the time of a call are its [`Rings`]; what it keeps between
//! calls is its own, is reset with it, and is part of a snapshot.

pub mod bits;
mod chain;
mod interrupt;
mod mmio;
mod ring;
mod transfer;
mod transport;

pub mod balloon;
pub mod block;
pub mod console;
pub mod entropy;
pub mod net;

#[cfg(any(test, feature = "hostile"))]
pub mod hostile;

use std::os::fd::BorrowedFd;

pub use chain::{Chain, Part};
pub use interrupt::Interrupt;
pub use ring::{Fault, Rings};
pub use transport::{Saved, Transport};

/// A para-virtual device.
///
/// Life: made, then configured by the guest's driver (features, queues), then driven by [`notified`](Self::notified) and
/// [`ready`](Self::ready) until the driver resets it, after which it may be configured again. What a driver puts into
/// queues and configuration is hostile: a [`Fault`] breaks the device until it is reset, and nothing else.
pub trait Device: Send {
    /// Which device it is (virtio 1.2, 5).
    fn id(&self) -> u32;

    /// Its own features; the transport adds those that all have.
    fn features(&self) -> u64;

    /// The most entries of each of its queues, each a power of two.
    fn queues(&self) -> &[u16];

    /// Its configuration space, as it is now.
    fn config(&self) -> Vec<u8>;

    /// The driver writes into the configuration space. Most devices ignore it.
    fn write_config(&mut self, _offset: u64, _data: &[u8]) {}

    /// The driver is ready and has taken `features`.
    fn activate(&mut self, _features: u64) {}

    /// The driver kicked a queue.
    ///
    /// # Errors
    /// [`Fault`] when the device cannot go on with what the driver gave it.
    fn notified(&mut self, queue: usize, rings: &mut Rings<'_>) -> Result<(), Fault>;

    /// What else it waits for, watched edge by edge from the machine's start to its end.
    fn sources(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }

    /// A source is ready.
    ///
    /// # Errors
    /// As [`notified`](Self::notified).
    fn ready(&mut self, _source: usize, _rings: &mut Rings<'_>) -> Result<(), Fault> {
        Ok(())
    }

    /// Forgets what the driver made of it.
    fn reset(&mut self) {}

    /// What it keeps between calls, for a snapshot.
    fn save(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Takes what [`save`](Self::save) gave.
    ///
    /// # Errors
    /// Why it does not fit.
    fn restore(&mut self, _state: &serde_json::Value) -> Result<(), String> {
        Ok(())
    }
}
