//! A device's queues for the time of one call.

use virtio_queue::{Queue, QueueT as _};

use super::{Chain, Interrupt};
use crate::memory::Memory;

/// Why a device cannot go on with what its driver gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the driver gave {0}")]
pub struct Fault(pub &'static str);

/// See the module.
pub struct Rings<'a> {
    /// The guest's memory.
    pub memory: &'a Memory,
    /// Tells the driver.
    pub interrupt: &'a Interrupt,
    queues: &'a mut [Queue],
    /// Buffers were given back in these queues, and the driver may have to be told.
    used: u64,
    /// How many more chains are taken in this call.
    left: u32,
}

/// The most chains of one call: a driver that never stops does not keep the loop from other devices.
const CHAINS_MAX: u32 = 1024;

impl<'a> Rings<'a> {
    pub(super) fn new(memory: &'a Memory, interrupt: &'a Interrupt, queues: &'a mut [Queue]) -> Self {
        Self { memory, interrupt, queues, used: 0, left: CHAINS_MAX }
    }

    /// Whether the driver has set a queue up.
    #[must_use]
    pub fn is_ready(&self, queue: usize) -> bool {
        self.queues.get(queue).is_some_and(Queue::ready)
    }

    /// The next chain of a queue, if the driver has put one there.
    ///
    /// # Errors
    /// [`Fault`] for a chain that is none.
    pub fn take(&mut self, queue: usize) -> Result<Option<Chain>, Fault> {
        let memory = self.memory;
        let Some(ring) = self.queues.get_mut(queue).filter(|ring| ring.ready() && self.left > 0) else {
            return Ok(None);
        };
        // Twice: the driver may have put one there before it could know that nobody looks any more.
        for _ in 0..2 {
            if let Some(chain) = ring.pop_descriptor_chain(memory) {
                self.left -= 1;
                return Chain::new(memory, chain).map(Some);
            }
            if !ring.enable_notification(memory).map_err(|_| Fault("a queue outside of the memory"))? {
                return Ok(None);
            }
        }
        // The queue answers a count of buffers that it has no room for with nothing.
        Err(Fault("more buffers than the queue has room for"))
    }

    /// Whether the call ended before the queues did.
    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Puts the chain that was taken last back: it is taken again the next time.
    pub fn put_back(&mut self, queue: usize) {
        if let Some(ring) = self.queues.get_mut(queue) {
            ring.set_next_avail(ring.next_avail().wrapping_sub(1));
        }
    }

    /// Gives a chain back to the driver, with `written` bytes in it.
    ///
    /// # Errors
    /// [`Fault`] for a queue that is not in the memory.
    pub fn give(&mut self, queue: usize, chain: &Chain, written: u32) -> Result<(), Fault> {
        let Some(ring) = self.queues.get_mut(queue) else { return Ok(()) };
        ring.add_used(self.memory, chain.head, written).map_err(|_| Fault("a queue outside of the memory"))?;
        self.used |= 1 << queue;
        Ok(())
    }
}

impl Drop for Rings<'_> {
    /// Tells the driver what was given back, once for all.
    fn drop(&mut self) {
        let mut tell = false;
        for (index, ring) in self.queues.iter_mut().enumerate() {
            if self.used & 1 << index != 0 {
                tell |= ring.needs_notification(self.memory).unwrap_or(true);
            }
        }
        if tell {
            self.interrupt.queue();
        }
    }
}
