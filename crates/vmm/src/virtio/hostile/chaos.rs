//! A driver that does anything: bytes are read as what it does next. Fuzzers and property tests bring the bytes.

use vm_memory::{Bytes as _, GuestAddress};

use super::{super::bits::register, Driver, MEMORY_BYTES, QUEUE_BYTES, QUEUES};

/// Steps of one run: a fuzzer finds long ones no better than short ones.
const STEPS_MAX: usize = 256;

/// Bytes that are used up front to back; zeros behind the end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let count = N.min(self.0.len());
        taken[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn half(&mut self) -> u16 {
        u16::from_le_bytes(self.take())
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
}

impl Driver {
    /// Takes the device into use, and then does what `bytes` say.
    pub fn chaos(&mut self, features: u64, bytes: &[u8]) {
        self.start(features);
        let mut bytes = Bytes(bytes);
        for _ in 0..STEPS_MAX {
            if bytes.0.is_empty() {
                break;
            }
            self.step(features, &mut bytes);
        }
    }

    fn step(&mut self, features: u64, bytes: &mut Bytes<'_>) {
        let queues = self.available.len().max(1);
        let kind = bytes.byte();
        let queue = usize::from(kind >> 4) % queues;
        match kind & 0xf {
            // A descriptor, often one that makes sense.
            0..=3 => {
                let at = match bytes.byte() & 3 {
                    0 => u64::from(bytes.word()) << 32 | u64::from(bytes.word()),
                    1 => MEMORY_BYTES - u64::from(bytes.byte()),
                    2 => QUEUES + u64::from(bytes.half()),
                    _ => u64::from(bytes.word()) % MEMORY_BYTES,
                };
                let len = if bytes.byte() & 1 == 0 { bytes.half().into() } else { bytes.word() };
                self.descriptor(
                    queue,
                    u16::from(bytes.byte() & 0xf),
                    (at, len, bytes.half(), u16::from(bytes.byte() & 0x1f)),
                );
            }
            // A chain is made available, and a kick.
            4..=6 => {
                self.publish(queue, u16::from(bytes.byte() & 0x1f));
                self.transport.kicked(queue);
            }
            // Bytes in buffers or in the queues themselves.
            7 | 8 => {
                let at = if kind & 0xf == 7 {
                    u64::from(bytes.word()) % MEMORY_BYTES
                } else {
                    QUEUES + u64::from(bytes.half()) % (QUEUE_BYTES * queues as u64)
                };
                // The last of them may lie outside.
                let _ = self.memory.write_slice(&bytes.take::<8>(), GuestAddress(at));
            }
            9 => self.transport.ready(usize::from(bytes.byte() & 3)),
            10 => self.transport.write(u64::from(bytes.half() & 0x1ff), &bytes.take::<4>()),
            11 => self.transport.read(u64::from(bytes.half() & 0x1ff), &mut vec![0; usize::from(bytes.byte() & 15)]),
            12 => self.transport.write(register::CONFIG + u64::from(bytes.byte()), &bytes.take::<4>()),
            // In the middle of anything: a reset, and a new start.
            13 => {
                self.set(register::STATUS, 0);
                self.available.fill(0);
                self.start(features);
            }
            _ => self.transport.kicked(queue),
        }
    }
}
