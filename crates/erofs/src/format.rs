//! Bytes of an EROFS image: superblock, inodes, attributes, directories (`fs/erofs/erofs_fs.h`). Little endian.

use crate::BLOCK_BYTES;
use crate::checksum::crc32c;
use crate::tree::Inode;

/// Where the superblock lies in the first block.
const SUPERBLOCK_OFFSET: usize = 1024;
const MAGIC: u32 = 0xe0f5_e1e2;
/// `EROFS_FEATURE_COMPAT_SB_CHKSUM` and `EROFS_FEATURE_COMPAT_MTIME`.
const FEATURES: u32 = 1 | 2;
/// Bytes of an extended inode.
pub(crate) const INODE_BYTES: u64 = 64;
/// An inode's number is its place in units of this many bytes.
pub(crate) const SLOT_BYTES: u64 = 32;
/// Bytes before the first attribute of an inode.
const XATTR_HEADER_BYTES: usize = 12;
/// Bytes of a directory entry without its name.
pub(crate) const ENTRY_BYTES: usize = 12;
/// Means that an inode has no block.
pub(crate) const NO_BLOCK: u32 = u32::MAX;

/// Names of attributes that are stored as a number, with what is left of the name.
const PREFIXES: [(u8, &[u8]); 5] = [
    (1, b"user."),
    (2, b"system.posix_acl_access"),
    (3, b"system.posix_acl_default"),
    (4, b"trusted."),
    (6, b"security."),
];

/// How an inode's bytes are kept (`EROFS_INODE_FLAT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Data {
    /// In whole blocks.
    Plain,
    /// The last, partial block right behind the inode and its attributes.
    Inline,
}

/// The first block. The file system is `blocks` long and has `inodes` nodes; `root` is its root's number.
pub(crate) fn superblock(root: u16, inodes: u64, blocks: u32) -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES as usize];
    let mut put = |offset: usize, bytes: &[u8]| {
        let at = SUPERBLOCK_OFFSET + offset;
        block[at..at + bytes.len()].copy_from_slice(bytes);
    };
    put(0, &MAGIC.to_le_bytes());
    put(8, &FEATURES.to_le_bytes());
    put(12, &[BLOCK_BYTES.trailing_zeros() as u8]);
    put(14, &root.to_le_bytes());
    put(16, &inodes.to_le_bytes());
    put(36, &blocks.to_le_bytes());
    let sum = crc32c(&block[SUPERBLOCK_OFFSET..]);
    block[SUPERBLOCK_OFFSET + 4..SUPERBLOCK_OFFSET + 8].copy_from_slice(&sum.to_le_bytes());
    block
}

/// An inode and its attributes. `number` is what `stat` shows; `block` is the first whole block of its bytes.
pub(crate) fn inode(inode: &Inode, data: Data, size: u64, block: u32, number: u32, links: u32) -> Vec<u8> {
    let xattrs = xattrs(&inode.xattrs);
    let mut bytes = Vec::with_capacity(INODE_BYTES as usize + xattrs.len());
    let layout = if data == Data::Inline { 2u16 } else { 0 };
    bytes.extend((1 | layout << 1).to_le_bytes());
    bytes.extend(xattr_count(xattrs.len()).to_le_bytes());
    bytes.extend((inode.mode as u16).to_le_bytes());
    bytes.extend(0u16.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(if inode.is_device() { device(inode.device) } else { block }.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend(inode.uid.to_le_bytes());
    bytes.extend(inode.gid.to_le_bytes());
    bytes.extend(inode.mtime.0.to_le_bytes());
    bytes.extend(inode.mtime.1.to_le_bytes());
    bytes.extend(links.to_le_bytes());
    bytes.resize(INODE_BYTES as usize, 0);
    bytes.extend(xattrs);
    bytes
}

/// A device number as the kernel's `new_encode_dev` has it.
fn device((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | major << 8 | (minor & !0xff) << 12
}

/// Whether attributes of this name can be stored.
pub(crate) fn is_known(name: &[u8]) -> bool {
    prefix(name).is_some()
}

fn prefix(name: &[u8]) -> Option<(u8, &[u8])> {
    PREFIXES.iter().find_map(|(index, prefix)| {
        let rest = name.strip_prefix(*prefix)?;
        (prefix.ends_with(b".") != rest.is_empty()).then_some((*index, rest))
    })
}

/// Bytes that attributes take behind their inode; a multiple of 4.
pub(crate) fn xattr_bytes(all: &[(Vec<u8>, Vec<u8>)]) -> usize {
    if all.is_empty() {
        return 0;
    }
    let one = |(name, value): &(Vec<u8>, Vec<u8>)| (4 + rest_of(name).len() + value.len()).next_multiple_of(4);
    XATTR_HEADER_BYTES + all.iter().map(one).sum::<usize>()
}

fn rest_of(name: &[u8]) -> &[u8] {
    prefix(name).map_or(name, |(_, rest)| rest)
}

/// `i_xattr_icount`.
fn xattr_count(bytes: usize) -> u16 {
    if bytes == 0 { 0 } else { ((bytes - XATTR_HEADER_BYTES) / 4 + 1) as u16 }
}

fn xattrs(all: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    if all.is_empty() {
        return Vec::new();
    }
    let mut bytes = vec![0; XATTR_HEADER_BYTES];
    for (name, value) in all {
        let (index, rest) = prefix(name).unwrap_or((0, name));
        bytes.extend([rest.len() as u8, index]);
        bytes.extend((value.len() as u16).to_le_bytes());
        bytes.extend(rest);
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// An entry of a directory before it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub name: &'a [u8],
    /// The number of the inode.
    pub nid: u64,
    /// File type bits of its mode.
    pub mode: u32,
}

/// Length in bytes of a directory with names of these lengths, in their order.
pub(crate) fn directory_bytes(names: impl Iterator<Item = usize>) -> u64 {
    let (mut full, mut used) = (0, 0);
    for length in names {
        if used + ENTRY_BYTES + length > BLOCK_BYTES as usize {
            full += BLOCK_BYTES;
            used = 0;
        }
        used += ENTRY_BYTES + length;
    }
    full + used as u64
}

/// A directory: in each block the entries, then their names. The entries must be sorted by the bytes of their names.
pub(crate) fn directory(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let mut used = 0;
        let fits = |entry: &&Entry<'_>| {
            used += ENTRY_BYTES + entry.name.len();
            used <= BLOCK_BYTES as usize
        };
        let (block, later) = rest.split_at(rest.iter().take_while(fits).count());
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES as usize), 0);
        let mut name_at = block.len() * ENTRY_BYTES;
        for entry in block {
            bytes.extend(entry.nid.to_le_bytes());
            bytes.extend((name_at as u16).to_le_bytes());
            bytes.extend([file_type(entry.mode), 0]);
            name_at += entry.name.len();
        }
        block.iter().for_each(|entry| bytes.extend(entry.name));
        rest = later;
    }
    bytes
}

/// The type of a directory entry (`include/linux/fs_types.h`).
fn file_type(mode: u32) -> u8 {
    match mode & 0o170_000 {
        0o100_000 => 1,
        0o040_000 => 2,
        0o020_000 => 3,
        0o060_000 => 4,
        0o010_000 => 5,
        0o140_000 => 6,
        0o120_000 => 7,
        _ => 0,
    }
}
