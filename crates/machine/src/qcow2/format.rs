//! The header (docs/interop/qcow2.rst, "Header", "Header extensions").

use crate::{Error, Result};

/// `QFI\xfb`.
pub const MAGIC: [u8; 4] = *b"QFI\xfb";
/// The header of version 3, its extensions and the backing file's name lie in the first cluster; so much of it is read.
pub const HEAD_BYTES: usize = 64 << 10;
/// A virtual disk is at most so large: 64 TiB.
pub const SIZE_MAX: u64 = 64 << 40;
/// 2 MiB.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;
const HEADER_BYTES_V2: usize = 72;
const HEADER_BYTES_V3: usize = 104;
/// As QEMU limits it.
const BACKING_NAME_BYTES_MAX: usize = 1023;
const EXTENSIONS_MAX: usize = 256;
/// Incompatible features: dirty, corrupt, external data file, compression type, extended L2 entries.
const DIRTY: u64 = 1;
const CORRUPT: u64 = 1 << 1;
const DATA_FILE: u64 = 1 << 2;
const COMPRESSION: u64 = 1 << 3;
const EXTENDED_L2: u64 = 1 << 4;
/// Header extensions that name things.
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Raw deflate.
    Deflate,
    /// Zstandard.
    Zstd,
}

/// What a header says, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// The size of a cluster is two to this power, in bytes.
    pub cluster_bits: u32,
    /// Size of the virtual disk in bytes.
    pub size: u64,
    /// Where the L1 table is.
    pub l1_offset: u64,
    /// Its number of entries.
    pub l1_entries: u32,
    /// How clusters are compressed.
    pub compression: Compression,
    /// The file that this one builds upon, as it is written there.
    pub backing: Option<String>,
    /// Its format, when the file says so.
    pub backing_format: Option<String>,
    /// The file in which the data are; its name, when the file has one.
    pub data_file: Option<String>,
    /// Snapshots inside of the file, which a conversion leaves out.
    pub snapshots: u32,
}

impl Header {
    /// Whether these are the first bytes of a qcow2 image.
    #[must_use]
    pub fn is_at(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Reads the beginning of an image that is `file_bytes` long.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what is wrong with it.
    pub fn parse(head: &[u8], file_bytes: u64) -> Result<Self> {
        if !Self::is_at(head) {
            return Err(wrong("it has no qcow2 header"));
        }
        let version = be32(head, 4)?;
        let length = match version {
            2 => HEADER_BYTES_V2,
            3 => be32(head, 100)? as usize,
            other => return Err(wrong(format!("version {other} of the format is not known"))),
        };
        let cluster_bits = be32(head, 20)?;
        if !CLUSTER_BITS.contains(&cluster_bits) {
            return Err(wrong(format!("its clusters have 2^{cluster_bits} bytes, which is not 2^9 to 2^21")));
        }
        let cluster = 1u64 << cluster_bits;
        let fits = length >= HEADER_BYTES_V2 && (version == 2 || length >= HEADER_BYTES_V3) && length.is_multiple_of(8);
        if !fits || length as u64 > cluster || length > head.len() {
            return Err(wrong(format!("its header has {length} bytes")));
        }
        if be32(head, 32)? != 0 {
            return Err(wrong("it is encrypted, which is not supported: decrypt it with qemu-img convert"));
        }
        let features = if version == 3 { be64(head, 72)? } else { 0 };
        let compression = compression(head, length, features)?;
        let size = be64(head, 24)?;
        if size > SIZE_MAX {
            return Err(wrong(format!("its disk of {size} bytes is larger than {SIZE_MAX}")));
        }
        let (l1_entries, l1_offset) = (be32(head, 36)?, be64(head, 40)?);
        check_l1(size, cluster_bits, l1_entries, l1_offset, file_bytes)?;
        let mut header = Self {
            version,
            cluster_bits,
            size,
            l1_offset,
            l1_entries,
            compression,
            backing: backing_name(head, cluster)?,
            backing_format: None,
            data_file: (features & DATA_FILE != 0).then(String::new),
            snapshots: be32(head, 60)?,
        };
        header.read_extensions(head, length)?;
        Ok(header)
    }

    fn read_extensions(&mut self, head: &[u8], mut at: usize) -> Result<()> {
        for _ in 0..EXTENSIONS_MAX {
            // Old images end their header without a word; what follows is the backing file's name, or nothing.
            let (Ok(kind), Ok(length)) = (be32(head, at), be32(head, at + 4)) else { return Ok(()) };
            if kind == 0 {
                return Ok(());
            }
            let length = length as usize;
            let Some(body) = head.get(at + 8..).and_then(|rest| rest.get(..length)) else {
                return Err(wrong("an extension of its header is longer than the header"));
            };
            match kind {
                EXTENSION_BACKING_FORMAT if self.backing.is_some() => self.backing_format = Some(name(body)?),
                EXTENSION_DATA_FILE if self.data_file.is_some() => self.data_file = Some(name(body)?),
                _ => {}
            }
            at += 8 + length.next_multiple_of(8);
        }
        Err(wrong("its header has too many extensions"))
    }
}

fn compression(head: &[u8], length: usize, features: u64) -> Result<Compression> {
    let known = DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2;
    if features & !known != 0 {
        return Err(wrong(format!("it has features that are not known: {:#x}", features & !known)));
    }
    if features & CORRUPT != 0 {
        return Err(wrong("it is marked as corrupt: repair it with qemu-img check -r"));
    }
    if features & EXTENDED_L2 != 0 {
        return Err(wrong("it has extended L2 entries, which are not supported: convert it with qemu-img"));
    }
    match (features & COMPRESSION != 0 && length > HEADER_BYTES_V3).then(|| head.get(HEADER_BYTES_V3)).flatten() {
        None | Some(0) => Ok(Compression::Deflate),
        Some(1) => Ok(Compression::Zstd),
        Some(other) => Err(wrong(format!("its compression {other} is not known"))),
    }
}

fn check_l1(size: u64, cluster_bits: u32, entries: u32, offset: u64, file_bytes: u64) -> Result<()> {
    // Entries of an L2 table have 8 bytes each, and a table fills a cluster.
    let covered_bits = cluster_bits + cluster_bits - 3;
    let needed = size.div_ceil(1 << covered_bits);
    if u64::from(entries) < needed || u64::from(entries) * 8 > 32 << 20 {
        return Err(wrong(format!("its L1 table has {entries} entries where {needed} are needed")));
    }
    let end = offset.checked_add(u64::from(entries) * 8);
    if !offset.is_multiple_of(1 << cluster_bits) || end.is_none_or(|end| end > file_bytes) {
        return Err(wrong(format!("its L1 table is at {offset}, outside of the file")));
    }
    Ok(())
}

fn backing_name(head: &[u8], cluster: u64) -> Result<Option<String>> {
    let (offset, length) = (be64(head, 8)?, be32(head, 16)? as usize);
    if offset == 0 {
        return Ok(None);
    }
    let end = offset.checked_add(length as u64);
    if length == 0 || length > BACKING_NAME_BYTES_MAX || end.is_none_or(|end| end > cluster || end > head.len() as u64)
    {
        return Err(wrong("the name of its backing file lies outside of its header"));
    }
    name(&head[offset as usize..offset as usize + length]).map(Some)
}

fn name(bytes: &[u8]) -> Result<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') && bytes.len() <= BACKING_NAME_BYTES_MAX => Ok(text.to_owned()),
        _ => Err(wrong("a name in its header is no text")),
    }
}

fn be32(bytes: &[u8], at: usize) -> Result<u32> {
    let slice = bytes.get(at..at + 4).and_then(|slice| slice.try_into().ok());
    slice.map(u32::from_be_bytes).ok_or_else(|| wrong("it ends within its header"))
}

fn be64(bytes: &[u8], at: usize) -> Result<u64> {
    let slice = bytes.get(at..at + 8).and_then(|slice| slice.try_into().ok());
    slice.map(u64::from_be_bytes).ok_or_else(|| wrong("it ends within its header"))
}

/// What is wrong with an image.
pub fn wrong(reason: impl std::fmt::Display) -> Error {
    Error::invalid(format!("the qcow2 image cannot be used: {reason}"))
}
