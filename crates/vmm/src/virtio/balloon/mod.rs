//! Memory that the guest gives back: what it is asked for, and what it has free (virtio 1.2, 5.5).
//!
//! The target is set from outside of the device; the guest is told by a change of the configuration.

mod bits;

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use vm_memory::GuestAddress;

use self::bits::{DEFLATE, DEFLATE_ON_OOM, ID, INFLATE, PAGE_BYTES, QUEUES, REPORT, REPORTING};
use super::{Chain, Device, Fault, Rings};
use crate::memory;

/// Page numbers that are read at a time.
const NUMBERS: usize = 256;

/// What is known of a balloon outside of its device.
#[derive(Debug, Default)]
pub struct Gauge {
    /// Pages of 4 KiB that the guest is asked to give.
    pub target_pages: AtomicU32,
    /// Pages that it says it has given.
    pub actual_pages: AtomicU32,
    /// Bytes that went back to the host, free pages included.
    pub returned_bytes: AtomicU64,
}

/// See the module.
#[derive(Debug)]
pub struct Balloon {
    gauge: Arc<Gauge>,
}

impl Balloon {
    /// A balloon whose target is that of `gauge`.
    #[must_use]
    pub fn new(gauge: Arc<Gauge>) -> Self {
        Self { gauge }
    }

    /// Gives back the pages whose numbers a chain has, runs of neighbours at once.
    fn inflate(&self, chain: &Chain, rings: &Rings<'_>) {
        let mut run: Option<(u64, u64)> = None;
        let mut skip = 0;
        loop {
            let mut bytes = [0; NUMBERS * 4];
            let read = chain.read(rings.memory, skip, &mut bytes);
            skip += read;
            for number in bytes[..read].as_chunks::<4>().0 {
                let page = u64::from(u32::from_le_bytes(*number));
                match &mut run {
                    Some((first, count)) if *first + *count == page => *count += 1,
                    _ => {
                        self.discard(run.replace((page, 1)), rings);
                    }
                }
            }
            if read < bytes.len() {
                return self.discard(run, rings);
            }
        }
    }

    fn discard(&self, run: Option<(u64, u64)>, rings: &Rings<'_>) {
        let Some((first, count)) = run else { return };
        self.discard_bytes(GuestAddress(first * PAGE_BYTES), count * PAGE_BYTES, rings);
    }

    fn discard_bytes(&self, at: GuestAddress, bytes: u64, rings: &Rings<'_>) {
        let returned = memory::discard(rings.memory, at, bytes);
        self.gauge.returned_bytes.fetch_add(returned, Ordering::Relaxed);
    }
}

impl Device for Balloon {
    fn id(&self) -> u32 {
        ID
    }

    fn features(&self) -> u64 {
        DEFLATE_ON_OOM | REPORTING
    }

    fn queues(&self) -> &[u16] {
        QUEUES
    }

    fn config(&self) -> Vec<u8> {
        let numbers = [&self.gauge.target_pages, &self.gauge.actual_pages].map(|pages| pages.load(Ordering::Relaxed));
        numbers.iter().flat_map(|pages| pages.to_le_bytes()).collect()
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        if let (4, Ok(word)) = (offset, <[u8; 4]>::try_from(data)) {
            self.gauge.actual_pages.store(u32::from_le_bytes(word), Ordering::Relaxed);
        }
    }

    fn notified(&mut self, queue: usize, rings: &mut Rings<'_>) -> Result<(), Fault> {
        while let Some(chain) = rings.take(queue)? {
            match queue {
                INFLATE => self.inflate(&chain, rings),
                REPORT => {
                    for part in chain.writable(0, usize::MAX) {
                        self.discard_bytes(part.at, part.len.into(), rings);
                    }
                }
                // Pages that are taken back are there as soon as they are touched.
                DEFLATE => {}
                _ => return Err(Fault("a kick of a queue that is not there")),
            }
            rings.give(queue, &chain, 0)?;
        }
        Ok(())
    }

    fn reset(&mut self) {
        self.gauge.actual_pages.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::hostile::{Driver, attack};

    fn balloon() -> (Driver, Arc<Gauge>) {
        let gauge = Arc::new(Gauge::default());
        let mut driver = Driver::of(Box::new(Balloon::new(Arc::clone(&gauge))));
        driver.start(DEFLATE_ON_OOM | REPORTING);
        (driver, gauge)
    }

    #[test]
    fn given_pages_go_back_to_the_host() {
        let (mut driver, gauge) = balloon();
        for page in 100..110 {
            driver.poke(page * PAGE_BYTES, 7);
        }
        let numbers: Vec<u8> = [100_u32, 101, 103, u32::MAX].iter().flat_map(|page| page.to_le_bytes()).collect();
        driver.ask(INFLATE, &numbers, 0);
        assert_eq!([100, 101, 102, 103].map(|page| driver.peek(page * PAGE_BYTES)), [0, 0, 7, 0]);
        driver.offer(REPORT, &[(105 * PAGE_BYTES, 2 * PAGE_BYTES as u32)]);
        assert_eq!([104, 105, 106, 107].map(|page| driver.peek(page * PAGE_BYTES)), [7, 0, 0, 7]);
        assert_eq!(gauge.returned_bytes.load(Ordering::Relaxed), 5 * PAGE_BYTES);
    }

    #[test]
    fn target_and_answer_are_in_the_configuration() {
        let (mut driver, gauge) = balloon();
        gauge.target_pages.store(512, Ordering::Relaxed);
        assert_eq!(driver.config(0), 512);
        driver.set_config(4, 500);
        assert_eq!(gauge.actual_pages.load(Ordering::Relaxed), 500);
    }

    #[test]
    fn hostile_drivers_break_nothing_but_the_device() {
        attack(|| Box::new(Balloon::new(Arc::default())), DEFLATE_ON_OOM | REPORTING);
    }
}
