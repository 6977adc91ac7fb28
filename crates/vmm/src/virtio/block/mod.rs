//! A disk (virtio 1.2, 5.2): a file whose bytes are the disk's.

mod bits;
mod disk;
mod request;

use std::os::fd::BorrowedFd;

use self::{
    bits::{
        CONFIG_BYTES, DISCARD, FLUSH, ID, READ_ONLY, SECTOR_BYTES, SEGMENT_SECTORS_MAX, SEGMENTS, SEGMENTS_MAX,
        SERIAL_BYTES, WRITE_ZEROES,
    },
    disk::Disk,
    request::Request,
};
use super::{Device, Fault, Rings};
use crate::{Result, config, rate::Limiter};

const QUEUES: &[u16] = &[256];
/// Buffers of one request beside its head and its status.
const BUFFERS_MAX: u32 = 254;

/// See the module.
#[derive(Debug)]
pub struct Block {
    disk: Disk,
    serial: [u8; SERIAL_BYTES],
    limiter: Limiter,
}

impl Block {
    /// # Errors
    /// [`crate::Error::File`], [`crate::Error::System`].
    pub fn new(of: &config::Disk) -> Result<Self> {
        let mut serial = [0; SERIAL_BYTES];
        let bytes = of.serial.as_bytes();
        serial[..bytes.len().min(SERIAL_BYTES)].copy_from_slice(&bytes[..bytes.len().min(SERIAL_BYTES)]);
        Ok(Self { disk: Disk::open(of)?, serial, limiter: Limiter::new(of.rate)? })
    }

    fn serve(&mut self, rings: &mut Rings<'_>) -> Result<(), Fault> {
        while let Some(chain) = rings.take(0)? {
            let request = Request::read(&chain, rings.memory)?;
            if !self.limiter.admits(request.bytes(&chain)) {
                rings.put_back(0);
                break;
            }
            let written = request.serve(&chain, rings.memory, &self.disk, &self.serial);
            rings.give(0, &chain, written)?;
        }
        Ok(())
    }
}

impl Device for Block {
    fn id(&self) -> u32 {
        ID
    }

    fn features(&self) -> u64 {
        let writable = if self.disk.read_only { READ_ONLY } else { DISCARD | WRITE_ZEROES };
        SEGMENTS | FLUSH | writable
    }

    fn queues(&self) -> &[u16] {
        QUEUES
    }

    fn config(&self) -> Vec<u8> {
        let mut config = vec![0; CONFIG_BYTES];
        let mut put = |at: usize, bytes: &[u8]| config[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &self.disk.sectors().to_le_bytes());
        put(12, &BUFFERS_MAX.to_le_bytes());
        put(20, &(SECTOR_BYTES as u32).to_le_bytes());
        for at in [36, 48] {
            put(at, &SEGMENT_SECTORS_MAX.to_le_bytes());
            put(at + 4, &SEGMENTS_MAX.to_le_bytes());
        }
        // Discarded stretches of any sector, and zeros that may be holes.
        put(44, &1_u32.to_le_bytes());
        put(56, &[1]);
        config
    }

    fn notified(&mut self, _queue: usize, rings: &mut Rings<'_>) -> Result<(), Fault> {
        self.serve(rings)
    }

    fn sources(&self) -> Vec<BorrowedFd<'_>> {
        self.limiter.timer().into_iter().collect()
    }

    fn ready(&mut self, _source: usize, rings: &mut Rings<'_>) -> Result<(), Fault> {
        self.serve(rings)
    }
}

#[cfg(test)]
mod tests;
