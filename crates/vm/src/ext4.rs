//! An empty ext4 file system with a journal, written without a mount: what a guest keeps its changes on
//! (Documentation/filesystems/ext4: layout of super blocks, group descriptors, inodes and the journal).
//!
//! ```text
//! group 0   super block, descriptors, bitmaps, inode table, the root's block, the journal
//! group n   [copies of super block and descriptors,] bitmaps, inode table
//! ```
//!
//! Everything else is a hole: the file takes as much of the host's disk as the guest writes.

use std::{
    fs::File,
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
};

use crate::{Error, Result};

const BLOCK: u64 = 4096;
const GROUP_BLOCKS: u64 = 32768;
const GROUP_INODES: u64 = 8192;
const INODE: u64 = 256;
const TABLE_BLOCKS: u64 = GROUP_INODES * INODE / BLOCK;
const DESCRIPTOR: u64 = 32;
const JOURNAL_BLOCKS: u64 = 4096;
/// Inodes 1 to 10 are the file system's own.
const RESERVED_INODES: u64 = 10;
const ROOT_INODE: u64 = 2;
const JOURNAL_INODE: u64 = 8;
/// The least size in bytes: one group, with the journal in it.
pub const BYTES_MIN: u64 = 64 << 20;

/// Where things are.
struct Layout {
    blocks: u64,
    groups: u64,
    descriptor_blocks: u64,
}

impl Layout {
    fn of(bytes: u64) -> Self {
        let mut blocks = bytes / BLOCK;
        // A last group that has no room for its own tables is left out.
        let rest = blocks % GROUP_BLOCKS;
        if blocks > GROUP_BLOCKS && rest < TABLE_BLOCKS + 64 {
            blocks -= rest;
        }
        let groups = blocks.div_ceil(GROUP_BLOCKS);
        Self { blocks, groups, descriptor_blocks: (groups * DESCRIPTOR).div_ceil(BLOCK) }
    }

    fn start(group: u64) -> u64 {
        group * GROUP_BLOCKS
    }

    /// Blocks before the bitmaps of a group.
    fn head(&self, group: u64) -> u64 {
        if has_copies(group) { 1 + self.descriptor_blocks } else { 0 }
    }

    fn block_bitmap(&self, group: u64) -> u64 {
        Self::start(group) + self.head(group)
    }

    fn inode_table(&self, group: u64) -> u64 {
        self.block_bitmap(group) + 2
    }

    fn root_block(&self) -> u64 {
        self.inode_table(0) + TABLE_BLOCKS
    }

    fn journal(&self) -> u64 {
        self.root_block() + 1
    }

    /// Blocks of a group that are taken, all at its start.
    fn taken(&self, group: u64) -> u64 {
        let own = if group == 0 { 1 + JOURNAL_BLOCKS } else { 0 };
        self.head(group) + 2 + TABLE_BLOCKS + own
    }

    fn size(&self, group: u64) -> u64 {
        (self.blocks - Self::start(group)).min(GROUP_BLOCKS)
    }

    fn free_blocks(&self, group: u64) -> u64 {
        self.size(group) - self.taken(group)
    }
}

/// Groups with copies of super block and descriptors: 0, 1, and powers of 3, 5 and 7 (`sparse_super`).
fn has_copies(group: u64) -> bool {
    let power = |base: u64| {
        let mut value = base;
        while value < group {
            value *= base;
        }
        value == group
    };
    group <= 1 || [3, 5, 7].into_iter().any(power)
}

/// Makes the file at `path`, which must not be there, an empty file system of at most `bytes` bytes.
///
/// # Errors
/// [`Error::File`]; [`Error::Malformed`] for a size below [`BYTES_MIN`] or above 15 TiB.
pub fn make(path: &Path, bytes: u64, uuid: [u8; 16], now_s: u32) -> Result<()> {
    if !(BYTES_MIN..15 << 40).contains(&bytes) {
        return Err(Error::malformed("the size of a machine's disk", "it must be from 64 MiB to 15 TiB"));
    }
    let layout = Layout::of(bytes);
    let mut file = File::create_new(path).map_err(Error::file("make", path))?;
    write(&mut file, &layout, uuid, now_s).and_then(|()| file.set_len(bytes)).map_err(Error::file("write", path))
}

fn write(file: &mut File, layout: &Layout, uuid: [u8; 16], now_s: u32) -> std::io::Result<()> {
    let mut put = |at: u64, bytes: &[u8]| file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(bytes));
    let descriptors = descriptors(layout);
    for group in 0..layout.groups {
        if has_copies(group) {
            let start = Layout::start(group) * BLOCK;
            put(start + if group == 0 { 1024 } else { 0 }, &super_block(layout, group, uuid, now_s))?;
            put(start + BLOCK, &descriptors)?;
        }
        put(layout.block_bitmap(group) * BLOCK, &bitmap(layout.taken(group), layout.size(group)))?;
        let inodes = if group == 0 { RESERVED_INODES } else { 0 };
        put((layout.block_bitmap(group) + 1) * BLOCK, &bitmap(inodes, GROUP_INODES))?;
    }
    let inode = |number: u64| layout.inode_table(0) * BLOCK + (number - 1) * INODE;
    put(inode(ROOT_INODE), &inode_bytes(0o040_755, 2, 1, layout.root_block(), now_s))?;
    put(inode(JOURNAL_INODE), &inode_bytes(0o100_600, 1, JOURNAL_BLOCKS, layout.journal(), now_s))?;
    put(layout.root_block() * BLOCK, &root_directory())?;
    put(layout.journal() * BLOCK, &journal_head(uuid))
}

/// The first `taken` bits set, and all from `size` on.
fn bitmap(taken: u64, size: u64) -> Vec<u8> {
    let mut bytes = vec![0_u8; BLOCK as usize];
    for bit in (0..taken).chain(size..BLOCK * 8) {
        bytes[(bit / 8) as usize] |= 1 << (bit % 8);
    }
    bytes
}

fn set16(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes());
}

fn set32(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
}

fn super_block(layout: &Layout, group: u64, uuid: [u8; 16], now_s: u32) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let free: u64 = (0..layout.groups).map(|group| layout.free_blocks(group)).sum();
    let inodes = layout.groups * GROUP_INODES;
    for (at, value) in [
        (0x00, inodes),
        (0x04, layout.blocks),
        (0x0c, free),
        (0x10, inodes - RESERVED_INODES),
        (0x18, 2), // blocks of 1024 << 2 bytes
        (0x1c, 2),
        (0x20, GROUP_BLOCKS),
        (0x24, GROUP_BLOCKS),
        (0x28, GROUP_INODES),
        (0x30, u64::from(now_s)),
        (0x40, u64::from(now_s)),
        (0x4c, 1), // revision
        (0x54, RESERVED_INODES + 1),
        (0x5c, 0x4 | 0x8),        // has_journal, ext_attr
        (0x60, 0x2 | 0x40),       // filetype, extents
        (0x64, 0x1 | 0x2 | 0x40), // sparse_super, large_file, extra_isize
        (0xe0, JOURNAL_INODE),
        (0x108, u64::from(now_s)),
    ] {
        set32(&mut bytes, at, value);
    }
    for (at, value) in [
        (0x36, 0xffff), // never checked for its number of mounts
        (0x38, 0xef53),
        (0x3a, 1), // clean
        (0x3c, 1), // go on after errors
        (0x58, INODE),
        (0x5a, group),
        (0x15c, 32),
        (0x15e, 32),
    ] {
        set16(&mut bytes, at, value);
    }
    bytes[0x68..0x78].copy_from_slice(&uuid);
    bytes
}

fn descriptors(layout: &Layout) -> Vec<u8> {
    let mut bytes = vec![0; (layout.descriptor_blocks * BLOCK) as usize];
    for group in 0..layout.groups {
        let at = (group * DESCRIPTOR) as usize;
        set32(&mut bytes, at, layout.block_bitmap(group));
        set32(&mut bytes, at + 4, layout.block_bitmap(group) + 1);
        set32(&mut bytes, at + 8, layout.inode_table(group));
        set16(&mut bytes, at + 12, layout.free_blocks(group));
        let own = if group == 0 { RESERVED_INODES } else { 0 };
        set16(&mut bytes, at + 14, GROUP_INODES - own);
        set16(&mut bytes, at + 16, u64::from(group == 0));
    }
    bytes
}

/// An inode whose contents are `blocks` blocks from `first` on.
fn inode_bytes(mode: u64, links: u64, blocks: u64, first: u64, now_s: u32) -> Vec<u8> {
    let mut bytes = vec![0; INODE as usize];
    set16(&mut bytes, 0x00, mode);
    set32(&mut bytes, 0x04, blocks * BLOCK);
    for at in [0x08, 0x0c, 0x10, 0x90] {
        set32(&mut bytes, at, now_s.into());
    }
    set16(&mut bytes, 0x1a, links);
    set32(&mut bytes, 0x1c, blocks * BLOCK / 512);
    set32(&mut bytes, 0x20, 0x8_0000); // extents
    set16(&mut bytes, 0x28, 0xf30a);
    set16(&mut bytes, 0x2a, 1);
    set16(&mut bytes, 0x2c, 4);
    set16(&mut bytes, 0x38, blocks);
    set32(&mut bytes, 0x3c, first);
    set16(&mut bytes, 0x80, 32);
    bytes
}

fn root_directory() -> Vec<u8> {
    let mut bytes = vec![0; BLOCK as usize];
    for (at, length, name) in [(0, 12, &b"."[..]), (12, BLOCK - 12, b"..")] {
        set32(&mut bytes, at, ROOT_INODE);
        set16(&mut bytes, at + 4, length);
        bytes[at + 6] = name.len() as u8;
        bytes[at + 7] = 2;
        bytes[at + 8..at + 8 + name.len()].copy_from_slice(name);
    }
    bytes
}

/// The journal's own super block, version 2; numbers are big-endian.
fn journal_head(uuid: [u8; 16]) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    for (at, value) in
        [(0, 0xc03b_3998_u32), (4, 4), (12, BLOCK as u32), (16, JOURNAL_BLOCKS as u32), (20, 1), (24, 1), (64, 1)]
    {
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
    bytes[48..64].copy_from_slice(&uuid);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_where_the_kernel_looks_for_them() {
        let with: Vec<u64> = (0..130).filter(|group| has_copies(*group)).collect();
        assert_eq!(with, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
    }

    #[test]
    fn what_is_made_is_clean_and_small() {
        use std::os::unix::fs::MetadataExt as _;
        for bytes in [BYTES_MIN, 200 << 20, 10 << 30, (10 << 30) + (129 << 20)] {
            let dir = tempfile::tempdir().expect("tempdir");
            let path = dir.path().join("disk");
            make(&path, bytes, [7; 16], 1_700_000_000).expect("make");
            let facts = std::fs::metadata(&path).expect("stat");
            assert!(facts.len() == bytes && facts.blocks() * 512 < 4 << 20, "{facts:?}");
            match std::process::Command::new("e2fsck").args(["-f", "-n"]).arg(&path).output() {
                Ok(output) => {
                    let said = String::from_utf8_lossy(&output.stdout).into_owned();
                    // The one thing that is missing on purpose.
                    let faults: Vec<&str> =
                        said.lines().filter(|line| line.contains('?') && !line.contains("lost+found")).collect();
                    assert!(faults.is_empty(), "{said}");
                }
                Err(_) => println!("skipped: e2fsck is not installed"),
            }
        }
        assert!(make(Path::new("/nowhere"), 1, [0; 16], 0).is_err());
    }
}
