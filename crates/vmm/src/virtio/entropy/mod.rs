//! Random numbers for the guest, from the host's kernel (virtio 1.2, 5.4).

use rustix::rand::GetRandomFlags;

use super::{Device, Fault, Rings};

/// `VIRTIO_ID_RNG`.
const ID: u32 = 4;
const QUEUES: &[u16] = &[16];
/// The most that one buffer gets: the driver asks for less.
const BYTES_MAX: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub struct Entropy;

impl Device for Entropy {
    fn id(&self) -> u32 {
        ID
    }

    fn features(&self) -> u64 {
        0
    }

    fn queues(&self) -> &[u16] {
        QUEUES
    }

    fn config(&self) -> Vec<u8> {
        Vec::new()
    }

    fn notified(&mut self, queue: usize, rings: &mut Rings<'_>) -> Result<(), Fault> {
        while let Some(chain) = rings.take(queue)? {
            let mut bytes = vec![0; chain.writable_bytes().min(BYTES_MAX)];
            let filled = rustix::rand::getrandom(&mut bytes[..], GetRandomFlags::empty()).unwrap_or(0);
            let written = chain.write(rings.memory, 0, &bytes[..filled]);
            rings.give(queue, &chain, written as u32)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::hostile::Driver;

    #[test]
    fn the_guest_gets_numbers_as_many_as_it_asks_for() {
        let mut driver = Driver::of(Box::new(Entropy));
        driver.start(0);
        let first = driver.ask(0, &[], 64);
        let second = driver.ask(0, &[], 64);
        assert_eq!((first.len(), second.len()), (64, 64));
        assert_ne!(first, second);
        assert_eq!(driver.ask(0, &[], 1 << 16).len(), BYTES_MAX);
        assert_eq!(driver.ask(0, b"to be read", 0), b"");
    }

    #[test]
    fn hostile_drivers_break_nothing_but_the_device() {
        crate::virtio::hostile::attack(|| Box::new(Entropy), 0);
    }
}
