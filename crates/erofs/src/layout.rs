//! A place for every inode and every block, before the first byte is written.

use crate::BLOCK_BYTES;
use crate::error::{Error, Result};
use crate::format::{self, Data, INODE_BYTES, NO_BLOCK, SLOT_BYTES};
use crate::tree::{Body, Id, ROOT, Tree};

/// Where everything lies.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Every inode that has a name, in the order of their places.
    pub order: Vec<Id>,
    /// By inode; the default for those without a name.
    pub places: Vec<Place>,
    /// Length of the image, in blocks.
    pub blocks: u32,
}

/// The place of one inode.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Byte in the image; 0 as long as there is none.
    pub at: u64,
    pub data: Data,
    /// Bytes of content.
    pub size: u64,
    /// First whole block of the content.
    pub block: u32,
    /// How many names it has, as `stat` counts them.
    pub links: u32,
    /// The directory that names it first; its own number for the root.
    pub parent: Id,
}

impl Place {
    pub(crate) fn nid(&self) -> u64 {
        self.at / SLOT_BYTES
    }

    /// Bytes of content that lie in whole blocks.
    pub(crate) fn in_blocks(&self) -> u64 {
        if self.data == Data::Inline { self.size - self.size % BLOCK_BYTES } else { self.size }
    }
}

impl Layout {
    pub(crate) fn of(tree: &Tree) -> Result<Self> {
        let none = Place { at: 0, data: Data::Plain, size: 0, block: NO_BLOCK, links: 0, parent: ROOT };
        let mut layout = Self { order: Vec::new(), places: vec![none; tree.inodes.len()], blocks: 0 };
        layout.walk(tree);
        let mut at = BLOCK_BYTES;
        for index in 0..layout.order.len() {
            let id = layout.order[index];
            at = layout.place(tree, id, at);
        }
        let mut next = at.div_ceil(BLOCK_BYTES);
        for id in &layout.order {
            let place = &mut layout.places[*id as usize];
            let blocks = place.in_blocks().div_ceil(BLOCK_BYTES);
            if blocks > 0 {
                place.block = u32::try_from(next).unwrap_or(NO_BLOCK);
            }
            next += blocks;
        }
        // The last number means "no block".
        let limit = u64::from(NO_BLOCK) - 1;
        layout.blocks = u32::try_from(next)
            .ok()
            .filter(|blocks| u64::from(*blocks) < limit)
            .ok_or_else(|| Error::limit(b"/", "blocks of 4096 bytes", limit))?;
        Ok(layout)
    }

    /// Depth first, names in order: what lies together is read together. Counts names on the way.
    fn walk(&mut self, tree: &Tree) {
        let mut pending = vec![ROOT];
        self.places[ROOT as usize].links = 2;
        while let Some(id) = pending.pop() {
            self.order.push(id);
            let before = pending.len();
            for child in tree.children(id).values() {
                let is_directory = tree.get(*child).is_directory();
                let place = &mut self.places[*child as usize];
                place.links += if is_directory { 2 } else { 1 };
                if is_directory || place.links == 1 {
                    place.parent = id;
                    pending.push(*child);
                }
                if is_directory {
                    self.places[id as usize].links += 1;
                }
            }
            pending[before..].reverse();
        }
    }

    /// Gives the inode the first place from `at` on; returns the end of it.
    fn place(&mut self, tree: &Tree, id: Id, at: u64) -> u64 {
        let inode = tree.get(id);
        let size = match &inode.body {
            Body::Directory(children) => {
                format::directory_bytes(dotted(children.keys().map(|name| &**name)).map(<[u8]>::len))
            }
            Body::File { bytes, .. } => *bytes,
            Body::Link(target) => target.len() as u64,
            Body::Special => 0,
        };
        let head = INODE_BYTES + format::xattr_bytes(&inode.xattrs) as u64;
        let tail = size % BLOCK_BYTES;
        let data = if tail > 0 && head + tail <= BLOCK_BYTES { Data::Inline } else { Data::Plain };
        let need = if data == Data::Inline { head + tail } else { head };
        let mut at = at.next_multiple_of(SLOT_BYTES);
        // A tail must not cross the end of a block; nor does anything else that fits into one.
        if need <= BLOCK_BYTES && at / BLOCK_BYTES != (at + need - 1) / BLOCK_BYTES {
            at = at.next_multiple_of(BLOCK_BYTES);
        }
        let place = &mut self.places[id as usize];
        (place.at, place.data, place.size) = (at, data, size);
        at + need
    }
}

/// The names of a directory with `.` and `..` at their places: entries are sorted by their bytes.
pub(crate) fn dotted<'a>(names: impl Iterator<Item = &'a [u8]> + 'a) -> impl Iterator<Item = &'a [u8]> + 'a {
    let mut names = names.peekable();
    let mut dots = [&b"."[..], &b".."[..]].into_iter().peekable();
    std::iter::from_fn(move || match (names.peek(), dots.peek()) {
        (Some(name), Some(dot)) if name < dot => names.next(),
        (_, Some(_)) => dots.next(),
        _ => names.next(),
    })
}
