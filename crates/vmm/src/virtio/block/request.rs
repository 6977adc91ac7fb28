//! What a driver asks of a disk (virtio 1.2, 5.2.6).

use std::io;

use super::{
    bits::{HEADER_BYTES, SECTOR_BYTES, SEGMENT_BYTES, SEGMENT_SECTORS_MAX, SEGMENTS_MAX, SERIAL_BYTES, kind, status},
    disk::Disk,
};
use crate::{
    memory::Memory,
    virtio::{Chain, Fault},
};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    kind: u32,
    sector: u64,
}

impl Request {
    /// Reads a request's head. A chain has room for one, and for the byte that says what the request came to.
    pub fn read(chain: &Chain, memory: &Memory) -> Result<Self, Fault> {
        let mut head = [0; HEADER_BYTES];
        if chain.read(memory, 0, &mut head) != HEADER_BYTES || chain.writable_bytes() == 0 {
            return Err(Fault("a disk's request without a head or without room for the answer"));
        }
        let [kind, _, low, high] = [0, 4, 8, 12].map(|at| u32::from_le_bytes([0, 1, 2, 3].map(|byte| head[at + byte])));
        Ok(Self { kind, sector: u64::from(high) << 32 | u64::from(low) })
    }

    /// How many bytes a request moves, for its limits.
    pub fn bytes(self, chain: &Chain) -> u64 {
        match self.kind {
            kind::IN => chain.writable_bytes() as u64 - 1,
            kind::OUT => (chain.readable_bytes() - HEADER_BYTES) as u64,
            _ => 0,
        }
    }

    /// Carries it out, and writes what it came to; how many bytes were written into the guest's memory.
    pub fn serve(self, chain: &Chain, memory: &Memory, disk: &Disk, serial: &[u8; SERIAL_BYTES]) -> u32 {
        let (outcome, written) = match self.kind {
            kind::IN => self.load(chain, memory, disk),
            kind::OUT => (self.store(chain, memory, disk), 0),
            kind::FLUSH => (code(disk.flush()), 0),
            kind::GET_ID => {
                let room = (chain.writable_bytes() - 1).min(SERIAL_BYTES);
                (status::OK, chain.write(memory, 0, &serial[..room]) as u32)
            }
            kind::DISCARD | kind::WRITE_ZEROES => (self.zero(chain, memory, disk), 0),
            _ => (status::UNSUPPORTED, 0),
        };
        chain.write(memory, chain.writable_bytes() - 1, &[outcome]);
        written + 1
    }

    fn load(self, chain: &Chain, memory: &Memory, disk: &Disk) -> (u8, u32) {
        let bytes = chain.writable_bytes() - 1;
        let Some(offset) = disk.offset(self.sector, bytes as u64) else { return (status::IO_ERROR, 0) };
        match disk.read(memory, &chain.writable(0, bytes), offset) {
            Ok(()) => (status::OK, bytes as u32),
            Err(_) => (status::IO_ERROR, 0),
        }
    }

    fn store(self, chain: &Chain, memory: &Memory, disk: &Disk) -> u8 {
        let bytes = chain.readable_bytes() - HEADER_BYTES;
        match disk.offset(self.sector, bytes as u64) {
            Some(offset) if !disk.read_only => code(disk.write(memory, &chain.readable(HEADER_BYTES, bytes), offset)),
            _ => status::IO_ERROR,
        }
    }

    fn zero(self, chain: &Chain, memory: &Memory, disk: &Disk) -> u8 {
        let bytes = chain.readable_bytes() - HEADER_BYTES;
        let fits = bytes.is_multiple_of(SEGMENT_BYTES) && bytes / SEGMENT_BYTES <= SEGMENTS_MAX as usize;
        if disk.read_only || !fits {
            return if disk.read_only { status::IO_ERROR } else { status::UNSUPPORTED };
        }
        let mut segments = vec![0; bytes];
        chain.read(memory, HEADER_BYTES, &mut segments);
        for segment in segments.as_chunks::<SEGMENT_BYTES>().0 {
            match self.zero_segment(segment, disk) {
                status::OK => {}
                other => return other,
            }
        }
        status::OK
    }

    fn zero_segment(self, segment: &[u8; SEGMENT_BYTES], disk: &Disk) -> u8 {
        const UNMAP: u32 = 1;
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| segment[at + byte]));
        let sector = u64::from(word(4)) << 32 | u64::from(word(0));
        let (sectors, flags) = (word(8), word(12));
        if flags & !UNMAP != 0 || (self.kind == kind::DISCARD && flags != 0) || sectors > SEGMENT_SECTORS_MAX {
            return status::UNSUPPORTED;
        }
        let bytes = u64::from(sectors) * SECTOR_BYTES;
        match disk.offset(sector, bytes) {
            Some(_) if bytes == 0 => status::OK,
            Some(offset) => code(disk.zero(offset, bytes, self.kind == kind::DISCARD || flags & UNMAP != 0)),
            None => status::IO_ERROR,
        }
    }
}

fn code(outcome: io::Result<()>) -> u8 {
    match outcome {
        Ok(()) => status::OK,
        Err(error) if error.kind() == io::ErrorKind::Unsupported => status::UNSUPPORTED,
        Err(_) => status::IO_ERROR,
    }
}
