//! A driver for tests and fuzzers of devices, without a guest: a polite one, one that attacks, and one that does anything.

mod attack;
mod chaos;
mod specimen;

use virtio_queue::desc::RawDescriptor;
use vm_memory::{Bytes as _, GuestAddress};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::{
    Device, Interrupt, Transport,
    bits::{VERSION_1, register, status},
};
use crate::memory::{self, Backing, Memory};

const MEMORY_BYTES: u64 = 4 << 20;
/// Queues lie below, buffers above.
const QUEUES: u64 = 0x1000;
const QUEUE_BYTES: u64 = 0x4000;
const BUFFERS: u64 = 0x20_0000;
const ENTRIES: u16 = 16;
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

pub use attack::attack;
pub use specimen::{KINDS, Specimen, nic, specimen};

/// A driver of one device.
pub struct Driver {
    transport: Transport,
    memory: Memory,
    available: Vec<u16>,
    next_buffer: u64,
    /// Where the answer to the last question is.
    room: (usize, u64, usize),
}

impl Driver {
    pub fn of(device: Box<dyn Device>) -> Self {
        let memory = memory::map(MEMORY_BYTES, Backing::Anonymous).expect("memory");
        let interrupt = Interrupt::new(EventFd::new(EFD_NONBLOCK).expect("event"));
        let transport = Transport::new(device, memory.clone(), interrupt).expect("transport");
        let queues = transport.kicks().len();
        Self { transport, memory, available: vec![0; queues], next_buffer: BUFFERS, room: (0, 0, 0) }
    }

    /// Takes the device into use with `features`.
    pub fn start(&mut self, features: u64) {
        self.set(register::STATUS, status::ACKNOWLEDGE | status::DRIVER);
        let features = features | VERSION_1;
        for (page, value) in [(0, features as u32), (1, (features >> 32) as u32)] {
            self.set(register::DRIVER_FEATURES_SELECT, page);
            self.set(register::DRIVER_FEATURES, value);
        }
        let before = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK;
        self.set(register::STATUS, before);
        assert_eq!(self.get(register::STATUS), before, "features are refused");
        for queue in 0..self.available.len() {
            self.set_up(queue, ENTRIES, self.places(queue));
        }
        self.set(register::STATUS, before | status::DRIVER_OK);
    }

    fn places(&self, queue: usize) -> [u64; 3] {
        let base = QUEUES + queue as u64 * QUEUE_BYTES;
        [base, base + 0x1000, base + 0x2000]
    }

    fn set_up(&mut self, queue: usize, size: u16, places: [u64; 3]) {
        self.set(register::QUEUE_SELECT, queue as u32);
        self.set(register::QUEUE_SIZE, size.into());
        let low = [register::QUEUE_DESCRIPTORS_LOW, register::QUEUE_DRIVER_LOW, register::QUEUE_DEVICE_LOW];
        for (register, place) in low.into_iter().zip(places) {
            self.set(register, place as u32);
            self.set(register + 4, (place >> 32) as u32);
        }
        self.set(register::QUEUE_READY, 1);
    }

    pub fn set(&mut self, register: u64, value: u32) {
        self.transport.write(register, &value.to_le_bytes());
    }

    pub fn get(&mut self, register: u64) -> u32 {
        let mut bytes = [0; 4];
        self.transport.read(register, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    pub fn config(&mut self, offset: u64) -> u32 {
        self.get(register::CONFIG + offset)
    }

    pub fn set_config(&mut self, offset: u64, value: u32) {
        self.set(register::CONFIG + offset, value);
    }

    pub fn poke(&self, at: u64, value: u8) {
        self.memory.write_obj(value, GuestAddress(at)).expect("in memory");
    }

    pub fn peek(&self, at: u64) -> u8 {
        self.memory.read_obj(GuestAddress(at)).expect("in memory")
    }

    pub fn is_broken(&mut self) -> bool {
        self.get(register::STATUS) & status::NEEDS_RESET != 0
    }

    /// Gives a question and room for an answer; the answer so far, which is empty when the device waits.
    pub fn ask(&mut self, queue: usize, question: &[u8], room: usize) -> Vec<u8> {
        let at = self.next_buffer;
        let answer = at + question.len() as u64;
        self.next_buffer = BUFFERS + (answer + room as u64 - BUFFERS) % 0x10_0000;
        self.memory.write_slice(question, GuestAddress(at)).expect("in memory");
        let mut buffers = Vec::new();
        // In two halves, as a driver may.
        let half = question.len() / 2;
        for (from, len) in [(at, half), (at + half as u64, question.len() - half)] {
            buffers.extend((len > 0).then_some((from, len as u32, 0)));
        }
        buffers.extend((room > 0).then_some((answer, room as u32, WRITE)));
        self.room = (queue, answer, room);
        self.chain(queue, &buffers);
        self.turn(queue);
        self.answer(self.available[queue])
    }

    /// Gives buffers to be written.
    pub fn offer(&mut self, queue: usize, buffers: &[(u64, u32)]) {
        let buffers: Vec<_> = buffers.iter().map(|(at, len)| (*at, *len, WRITE)).collect();
        self.chain(queue, &buffers);
        self.turn(queue);
    }

    /// The last byte of the room for the answer to the last question.
    #[must_use]
    pub fn last_byte(&self) -> u8 {
        self.peek(self.room.1 + self.room.2 as u64 - 1)
    }

    /// A source of the device's was ready; the answer to the last question.
    pub fn wake(&mut self, source: usize) -> Vec<u8> {
        self.transport.ready(source);
        self.answer(self.available[self.room.0])
    }

    fn turn(&mut self, queue: usize) {
        self.transport.kicked(queue);
    }

    fn answer(&self, expected: u16) -> Vec<u8> {
        let (queue, at, _) = self.room;
        let lengths = self.used(queue);
        if lengths.len() != usize::from(expected) {
            return Vec::new();
        }
        let mut bytes = vec![0; lengths.last().copied().unwrap_or(0) as usize];
        self.memory.read_slice(&mut bytes, GuestAddress(at)).expect("in memory");
        bytes
    }

    /// Lengths of everything that the device has given back in a queue.
    pub fn used(&self, queue: usize) -> Vec<u32> {
        let used = self.places(queue)[2];
        let count: u16 = self.memory.read_obj(GuestAddress(used + 2)).expect("in memory");
        let first = count.saturating_sub(ENTRIES);
        let at = |index: u16| GuestAddress(used + 4 + u64::from(index % ENTRIES) * 8 + 4);
        let seen = (first..count).map(|index| self.memory.read_obj(at(index)).expect("in memory"));
        std::iter::repeat_n(0, first.into()).chain(seen).collect()
    }

    fn chain(&mut self, queue: usize, buffers: &[(u64, u32, u16)]) {
        // Each chain has four entries of its own.
        let head = self.available[queue] % (ENTRIES / 4) * 4;
        for (index, (at, len, flags)) in (0_u16..).zip(buffers) {
            let last = usize::from(index) + 1 == buffers.len();
            let next = if last { 0 } else { NEXT };
            self.descriptor(queue, head + index, (*at, *len, flags | next, head + index + 1));
        }
        self.publish(queue, head);
    }

    fn descriptor(&mut self, queue: usize, index: u16, (at, len, flags, next): (u64, u32, u16, u16)) {
        let place = self.places(queue)[0] + u64::from(index) * 16;
        let raw = RawDescriptor::from(virtio_queue::desc::split::Descriptor::new(at, len, flags, next));
        self.memory.write_obj(raw, GuestAddress(place)).expect("in memory");
    }

    fn publish(&mut self, queue: usize, head: u16) {
        let available = self.places(queue)[1];
        let slot = u64::from(self.available[queue] % ENTRIES);
        self.memory.write_obj(head, GuestAddress(available + 4 + slot * 2)).expect("in memory");
        self.available[queue] = self.available[queue].wrapping_add(1);
        self.memory.write_obj(self.available[queue], GuestAddress(available + 2)).expect("in memory");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn a_driver_that_does_anything_breaks_nothing_but_its_device(kind in 0..KINDS, bytes in proptest::collection::vec(any::<u8>(), 0..1500)) {
            let specimen = specimen(kind);
            let mut driver = Driver::of(specimen.device);
            driver.chaos(specimen.features, &bytes);
            driver.set(register::STATUS, 0);
            prop_assert_eq!(driver.get(register::STATUS), 0);
        }
    }
}
