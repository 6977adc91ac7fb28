//! An empty ext4 file system (kernel documentation, `filesystems/ext4`): with a journal, without anything to resize.
//!
//! ```text
//! each group of 32768 blocks: │ superblock, descriptors (groups 0, 1, powers of 3, 5, 7) │ two bitmaps │ inodes │ data │
//! group 0's data: the root directory, lost+found, the journal
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const BLOCK_BYTES: u64 = 4096;
const GROUP_BLOCKS: u64 = 32768;
const INODE_BYTES: u64 = 256;
/// One inode for so many bytes.
const INODE_RATIO: u64 = 16 << 10;
const DESCRIPTOR_BYTES: u64 = 32;
/// The first inode that is not reserved: lost+found.
const FIRST_INODE: u32 = 11;
const ROOT_INODE: u32 = 2;
const JOURNAL_INODE: u32 = 8;
/// Blocks that a last group must have beside its own tables.
const LAST_GROUP_BLOCKS_MIN: u64 = 512;

/// The numbers that everything follows from.
#[derive(Debug, Clone, Copy)]
struct Shape {
    blocks: u64,
    groups: u64,
    inodes_per_group: u64,
    journal_blocks: u64,
}

impl Shape {
    /// A file system that holds `bytes` bytes beside its own tables.
    fn holding(bytes: u64) -> Self {
        let wanted = bytes.div_ceil(BLOCK_BYTES);
        let mut shape = Self::of(wanted);
        for _ in 0..4 {
            shape = Self::of(wanted + shape.overhead());
        }
        shape
    }

    fn of(blocks: u64) -> Self {
        let groups = blocks.div_ceil(GROUP_BLOCKS);
        let per_group = (blocks * BLOCK_BYTES / INODE_RATIO).div_ceil(groups);
        // Whole blocks of inodes, and whole bytes of their bitmap.
        let inodes_per_group = per_group.clamp(128, 8 * BLOCK_BYTES).next_multiple_of(BLOCK_BYTES / INODE_BYTES * 8);
        // The least that the kernel takes is 1024.
        let journal_blocks = match blocks {
            0..65_536 => 1024,
            65_536..1_048_576 => 4096,
            _ => 8192,
        };
        let mut shape = Self { blocks, groups, inodes_per_group, journal_blocks };
        let last = blocks - (groups - 1) * GROUP_BLOCKS;
        let least = shape.tables(groups - 1) + LAST_GROUP_BLOCKS_MIN;
        shape.blocks += least.saturating_sub(last);
        shape
    }

    fn descriptor_blocks(&self) -> u64 {
        (self.groups * DESCRIPTOR_BYTES).div_ceil(BLOCK_BYTES)
    }

    fn inode_blocks(&self) -> u64 {
        self.inodes_per_group * INODE_BYTES / BLOCK_BYTES
    }

    /// Blocks of superblock and descriptors at the start of a group.
    fn head(&self, group: u64) -> u64 {
        if has_superblock(group) { 1 + self.descriptor_blocks() } else { 0 }
    }

    /// Blocks of a group that hold no data.
    fn tables(&self, group: u64) -> u64 {
        self.head(group) + 2 + self.inode_blocks()
    }

    fn overhead(&self) -> u64 {
        (0..self.groups).map(|group| self.tables(group)).sum::<u64>() + self.data(0)
    }

    /// Blocks of data that are in use: the root, lost+found and the journal.
    fn data(&self, group: u64) -> u64 {
        if group == 0 { 2 + self.journal_blocks } else { 0 }
    }

    fn start(&self, group: u64) -> u64 {
        group * GROUP_BLOCKS
    }

    fn length(&self, group: u64) -> u64 {
        (self.blocks - self.start(group)).min(GROUP_BLOCKS)
    }

    fn free(&self, group: u64) -> u64 {
        self.length(group) - self.tables(group) - self.data(group)
    }

    fn free_inodes(&self, group: u64) -> u64 {
        self.inodes_per_group - if group == 0 { u64::from(FIRST_INODE) } else { 0 }
    }
}

/// Copies of the superblock lie in groups 0 and 1 and the powers of 3, 5 and 7 (`sparse_super`).
fn has_superblock(group: u64) -> bool {
    let is_power = |base: u64| {
        let mut power = base;
        while power < group {
            power *= base;
        }
        power == group
    };
    group <= 1 || [3, 5, 7].into_iter().any(is_power)
}

/// Makes the empty `file` a file system with room for `bytes` bytes.
pub(super) fn format(file: &mut File, bytes: u64) -> io::Result<()> {
    let shape = Shape::holding(bytes);
    if shape.blocks > u64::from(u32::MAX) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "more than 16 TiB"));
    }
    file.set_len(shape.blocks * BLOCK_BYTES)?;
    let mut identity = [0; 16];
    rustix::rand::getrandom(&mut identity, rustix::rand::GetRandomFlags::empty())?;
    let descriptors = descriptors(&shape);
    for group in 0..shape.groups {
        let start = shape.start(group) * BLOCK_BYTES;
        if has_superblock(group) {
            let offset = if group == 0 { 1024 } else { 0 };
            file.write_all_at(&superblock(&shape, &identity, group), start + offset)?;
            file.write_all_at(&descriptors, start + BLOCK_BYTES)?;
        }
        let bitmaps = start + shape.head(group) * BLOCK_BYTES;
        file.write_all_at(&bitmap(shape.tables(group) + shape.data(group), shape.length(group)), bitmaps)?;
        let used = shape.inodes_per_group - shape.free_inodes(group);
        file.write_all_at(&bitmap(used, shape.inodes_per_group), bitmaps + BLOCK_BYTES)?;
    }
    first_files(file, &shape)
}

/// The root, lost+found and the journal.
fn first_files(file: &File, shape: &Shape) -> io::Result<()> {
    let table = (shape.head(0) + 2) * BLOCK_BYTES;
    let data = shape.tables(0);
    let place = |inode: u32| table + u64::from(inode - 1) * INODE_BYTES;
    file.write_all_at(&inode(0o040_755, 3, data, 1), place(ROOT_INODE))?;
    file.write_all_at(&inode(0o040_700, 2, data + 1, 1), place(FIRST_INODE))?;
    file.write_all_at(&inode(0o100_600, 1, data + 2, shape.journal_blocks), place(JOURNAL_INODE))?;
    let block = |entries: &[(u32, &[u8])]| directory(entries);
    let root = block(&[(ROOT_INODE, b"."), (ROOT_INODE, b".."), (FIRST_INODE, b"lost+found")]);
    file.write_all_at(&root, data * BLOCK_BYTES)?;
    file.write_all_at(&block(&[(FIRST_INODE, b"."), (ROOT_INODE, b"..")]), (data + 1) * BLOCK_BYTES)?;
    file.write_all_at(&journal(shape), (data + 2) * BLOCK_BYTES)
}

/// Little-endian fields put at their offsets.
struct Fields(Vec<u8>);

impl Fields {
    fn put(&mut self, offset: usize, bytes: &[u8]) {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn short(&mut self, offset: usize, value: u64) {
        self.put(offset, &(value as u16).to_le_bytes());
    }

    fn long(&mut self, offset: usize, value: u64) {
        self.put(offset, &(value as u32).to_le_bytes());
    }
}

/// `struct ext4_super_block`.
fn superblock(shape: &Shape, identity: &[u8; 16], group: u64) -> Vec<u8> {
    let mut block = Fields(vec![0; 1024]);
    let free = (0..shape.groups).map(|group| shape.free(group)).sum();
    let free_inodes = (0..shape.groups).map(|group| shape.free_inodes(group)).sum();
    for (offset, value) in [
        (0, shape.inodes_per_group * shape.groups),
        (4, shape.blocks),
        (12, free),
        (16, free_inodes),
        // Blocks and clusters of 1024 << 2 bytes.
        (24, 2),
        (28, 2),
        (32, GROUP_BLOCKS),
        (36, GROUP_BLOCKS),
        (40, shape.inodes_per_group),
        // The revision with inodes of any size.
        (76, 1),
        (84, u64::from(FIRST_INODE)),
        // has_journal, ext_attr, dir_index; filetype, extents; sparse_super, large_file, huge_file, dir_nlink, extra_isize.
        (92, 0x4 | 0x8 | 0x20),
        (96, 0x2 | 0x40),
        (100, 0x1 | 0x2 | 0x8 | 0x20 | 0x40),
        (224, u64::from(JOURNAL_INODE)),
        // Attributes of users, access control lists.
        (256, 0xc),
        // Directories are hashed with signed characters.
        (352, 1),
    ] {
        block.long(offset, value);
    }
    // No check by count of mounts; magic; clean; on errors read-only; 256 bytes an inode, 32 of them beyond the first 128.
    for (offset, value) in [(54, 0xffff), (56, 0xef53), (58, 1), (60, 2), (88, INODE_BYTES), (90, group)] {
        block.short(offset, value);
    }
    block.short(348, 32);
    block.short(350, 32);
    block.put(104, identity);
    block.put(236, identity);
    // Names are hashed by half MD4.
    block.put(252, &[1]);
    block.0
}

/// `struct ext4_group_desc`, one a group.
fn descriptors(shape: &Shape) -> Vec<u8> {
    let mut table = Fields(vec![0; (shape.groups * DESCRIPTOR_BYTES) as usize]);
    for group in 0..shape.groups {
        let at = (group * DESCRIPTOR_BYTES) as usize;
        let first = shape.start(group) + shape.head(group);
        table.long(at, first);
        table.long(at + 4, first + 1);
        table.long(at + 8, first + 2);
        table.short(at + 12, shape.free(group));
        table.short(at + 14, shape.free_inodes(group));
        table.short(at + 16, if group == 0 { 2 } else { 0 });
    }
    table.0
}

/// A block with the first `used` bits set, and those from `length` on, which stand for nothing.
fn bitmap(used: u64, length: u64) -> Vec<u8> {
    let mut block = vec![0u8; BLOCK_BYTES as usize];
    for bit in (0..used).chain(length..BLOCK_BYTES * 8) {
        block[(bit / 8) as usize] |= 1 << (bit % 8);
    }
    block
}

/// `struct ext4_inode` with one extent of `blocks` blocks from `first` on.
fn inode(mode: u64, links: u64, first: u64, blocks: u64) -> Vec<u8> {
    let mut inode = Fields(vec![0; INODE_BYTES as usize]);
    inode.short(0, mode);
    inode.long(4, blocks * BLOCK_BYTES);
    inode.short(26, links);
    inode.long(28, blocks * BLOCK_BYTES / 512);
    // The contents are extents: a header, then one of them.
    inode.long(32, 0x8_0000);
    for (offset, value) in [(40, 0xf30a), (42, 1), (44, 4), (56, blocks)] {
        inode.short(offset, value);
    }
    inode.long(60, first);
    inode.short(128, 32);
    inode.0
}

/// One block of a directory; the last entry reaches to its end.
fn directory(entries: &[(u32, &[u8])]) -> Vec<u8> {
    let mut block = Fields(vec![0; BLOCK_BYTES as usize]);
    let mut at = 0;
    for (index, (inode, name)) in entries.iter().enumerate() {
        let length = (8 + name.len()).next_multiple_of(4);
        let is_last = index + 1 == entries.len();
        block.long(at, u64::from(*inode));
        block.short(at + 4, if is_last { BLOCK_BYTES - at as u64 } else { length as u64 });
        block.put(at + 6, &[name.len() as u8, 2]);
        block.put(at + 8, name);
        at += length;
    }
    block.0
}

/// The journal's first block (`journal_superblock_t`), big endian: version 2, empty.
fn journal(shape: &Shape) -> Vec<u8> {
    let mut block = vec![0; BLOCK_BYTES as usize];
    for (offset, value) in [
        (0, 0xc03b_3998u32),
        (4, 4),
        (12, BLOCK_BYTES as u32),
        (16, shape.journal_blocks as u32),
        (20, 1),
        (24, 1),
        // One file system uses it.
        (64, 1),
    ] {
        block[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e2fsck_finds_nothing_wrong() {
        let scratch = tempfile::tempdir().expect("tempdir");
        for mib in [1, 2, 10, 64, 127, 128, 129, 137, 300, 1024, 5000, 20_000] {
            let path = scratch.path().join(mib.to_string());
            let mut file = File::create_new(&path).expect("create");
            format(&mut file, mib << 20).expect("format");
            let judged = std::process::Command::new("e2fsck").arg("-fn").arg(&path).output();
            let Ok(judged) = judged else { return eprintln!("skipped: no e2fsck here") };
            let said = String::from_utf8_lossy(&judged.stdout);
            assert!(judged.status.success(), "{mib} MiB: {said}{}", String::from_utf8_lossy(&judged.stderr));
        }
    }
}
