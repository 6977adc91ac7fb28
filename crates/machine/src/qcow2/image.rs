//! Where the bytes of a virtual disk are (docs/interop/qcow2.rst, "Cluster mapping", "Compressed clusters").

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
};

use super::format::{Compression, HEAD_BYTES, Header, wrong};
use crate::{Error, Result};

/// Bits 9 to 55 of an entry are an offset.
const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
/// A cluster that reads as zeros, whatever its offset.
const ZERO: u64 = 1;

/// An open image that needs no other file.
#[derive(Debug)]
pub struct Image {
    file: File,
    bytes: u64,
    /// What its header says.
    pub header: Header,
    l1: Vec<u64>,
    /// The L2 table that was used last, and its offset.
    l2: (u64, Vec<u64>),
    packed: Vec<u8>,
}

impl Image {
    /// Opens what is in `file`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an image that is none, or needs other files.
    pub fn open(file: File) -> Result<Self> {
        let header = read_header(&file)?;
        if let Some(other) = header.backing.as_deref().or(header.data_file.as_deref()) {
            return Err(wrong(format!("it needs another file, {other:?}: make it whole with qemu-img convert")));
        }
        let bytes = length(&file)?;
        let mut table = vec![0; header.l1_entries as usize * 8];
        file.read_exact_at(&mut table, header.l1_offset).map_err(read_error)?;
        Ok(Self { file, bytes, header, l1: entries(&table), l2: (0, Vec::new()), packed: Vec::new() })
    }

    /// The size of a cluster in bytes.
    #[must_use]
    pub fn cluster_bytes(&self) -> u64 {
        1 << self.header.cluster_bits
    }

    /// How many clusters the disk has; the last one may be cut.
    #[must_use]
    pub fn clusters(&self) -> u64 {
        self.header.size.div_ceil(self.cluster_bytes())
    }

    /// The clusters from `from` on that one empty entry of the L1 table stands for; 0 when it is not empty.
    #[must_use]
    pub fn empty_from(&self, from: u64) -> u64 {
        let per_table = self.cluster_bytes() / 8;
        let entry = self.l1.get((from / per_table) as usize).copied().unwrap_or(0);
        if entry & OFFSET_MASK == 0 { per_table - from % per_table } else { 0 }
    }

    /// Reads the cluster `index` into `buffer`, which has its size; `false` for one that is all zeros, and the buffer
    /// then holds anything.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is not in the file, or cannot be unpacked.
    pub fn read(&mut self, index: u64, buffer: &mut [u8]) -> Result<bool> {
        let per_table = self.cluster_bytes() / 8;
        let table = self.l1.get((index / per_table) as usize).copied().unwrap_or(0) & OFFSET_MASK;
        if table == 0 {
            return Ok(false);
        }
        self.load_table(table)?;
        let entry = self.l2.1.get((index % per_table) as usize).copied().unwrap_or(0);
        if entry & COMPRESSED != 0 {
            return self.unpack(entry, buffer).map(|()| true);
        }
        let offset = entry & OFFSET_MASK;
        if offset == 0 || entry & ZERO != 0 {
            return Ok(false);
        }
        self.check(offset)?;
        // The file may end within its last cluster.
        let within = usize::try_from((self.bytes - offset).min(buffer.len() as u64)).unwrap_or(0);
        self.file.read_exact_at(&mut buffer[..within], offset).map_err(read_error)?;
        buffer[within..].fill(0);
        Ok(true)
    }

    fn load_table(&mut self, offset: u64) -> Result<()> {
        if self.l2.0 == offset {
            return Ok(());
        }
        self.check(offset)?;
        let mut table = vec![0; self.cluster_bytes() as usize];
        self.file.read_exact_at(&mut table, offset).map_err(read_error)?;
        self.l2 = (offset, entries(&table));
        Ok(())
    }

    /// A cluster begins on its own border, within the file.
    fn check(&self, offset: u64) -> Result<()> {
        if offset.is_multiple_of(self.cluster_bytes()) && offset < self.bytes {
            return Ok(());
        }
        Err(wrong(format!("it has a cluster at {offset}, where none can be")))
    }

    fn unpack(&mut self, entry: u64, buffer: &mut [u8]) -> Result<()> {
        // The offset takes the lower bits, the number of further sectors those above.
        let offset_bits = 62 - (self.header.cluster_bits - 8);
        let offset = entry & ((1 << offset_bits) - 1);
        let sectors = (entry & (COMPRESSED - 1)) >> offset_bits;
        let length = ((sectors + 1) * 512 - offset % 512).min(self.bytes.saturating_sub(offset));
        if offset >= self.bytes || length > 2 * self.cluster_bytes() + 512 {
            return Err(wrong(format!("it has a packed cluster at {offset}, where none can be")));
        }
        self.packed.resize(length as usize, 0);
        self.file.read_exact_at(&mut self.packed, offset).map_err(read_error)?;
        let done = match self.header.compression {
            Compression::Deflate => flate2::read::DeflateDecoder::new(&self.packed[..]).read_exact(buffer),
            Compression::Zstd => {
                let unpacking = zstd::stream::read::Decoder::with_buffer(&self.packed[..]);
                unpacking.and_then(|mut decoder| decoder.read_exact(buffer))
            }
        };
        done.map_err(|error| wrong(format!("the packed cluster at {offset} cannot be unpacked: {error}")))
    }
}

/// The header of what is in `file`.
///
/// # Errors
/// [`Error::Invalid`].
pub fn read_header(file: &File) -> Result<Header> {
    let mut head = vec![0; HEAD_BYTES];
    let mut filled = 0;
    while filled < head.len() {
        match file.read_at(&mut head[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(read_error(error)),
        }
    }
    head.truncate(filled);
    Header::parse(&head, length(file)?)
}

fn length(file: &File) -> Result<u64> {
    file.metadata().map(|facts| facts.len()).map_err(read_error)
}

fn entries(table: &[u8]) -> Vec<u64> {
    table.chunks_exact(8).filter_map(|entry| entry.try_into().ok()).map(u64::from_be_bytes).collect()
}

fn read_error(error: io::Error) -> Error {
    wrong(format!("it cannot be read: {error}"))
}
