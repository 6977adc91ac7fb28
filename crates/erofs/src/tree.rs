//! A tree in memory: what an image will hold, without the bytes of its files.

use std::collections::BTreeMap;

/// Place of an inode in its [`Tree`].
pub(crate) type Id = u32;

/// Extended attributes by name, sorted.
pub(crate) type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// The root's place.
pub(crate) const ROOT: Id = 0;

/// Every inode of an image. Those that no directory names (any more) are not written.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub inodes: Vec<Inode>,
}

/// A file, directory or other node.
#[derive(Debug)]
pub(crate) struct Inode {
    /// Type and permissions.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds and nanoseconds of the last modification.
    pub mtime: (i64, u32),
    /// Major and minor of a device.
    pub device: (u32, u32),
    pub xattrs: Xattrs,
    pub body: Body,
}

/// What an inode holds.
#[derive(Debug)]
pub(crate) enum Body {
    /// Children by name.
    Directory(BTreeMap<Box<[u8]>, Id>),
    /// A file of `bytes` bytes, at `path` below the root of the layer with this number.
    File { layer: usize, path: Box<[u8]>, bytes: u64 },
    /// Where a symbolic link points.
    Link(Box<[u8]>),
    /// A device, pipe or socket.
    Special,
}

impl Tree {
    pub(crate) fn add(&mut self, inode: Inode) -> Id {
        self.inodes.push(inode);
        (self.inodes.len() - 1) as Id
    }

    pub(crate) fn get(&self, id: Id) -> &Inode {
        &self.inodes[id as usize]
    }

    /// The children of a directory; empty for anything else.
    pub(crate) fn children(&self, id: Id) -> &BTreeMap<Box<[u8]>, Id> {
        static NONE: BTreeMap<Box<[u8]>, Id> = BTreeMap::new();
        match &self.get(id).body {
            Body::Directory(children) => children,
            _ => &NONE,
        }
    }

    /// Names `child` in the directory `parent`; what had the name before has it no more.
    pub(crate) fn name(&mut self, parent: Id, name: &[u8], child: Id) {
        if let Body::Directory(children) = &mut self.inodes[parent as usize].body {
            children.insert(name.into(), child);
        }
    }

    pub(crate) fn forget(&mut self, parent: Id, name: &[u8]) {
        if let Body::Directory(children) = &mut self.inodes[parent as usize].body {
            children.remove(name);
        }
    }
}

impl Inode {
    pub(crate) fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory(_))
    }

    pub(crate) fn is_device(&self) -> bool {
        matches!(self.mode & 0o170_000, 0o020_000 | 0o060_000)
    }

    /// How overlay says that a name of a lower layer is gone.
    pub(crate) fn is_whiteout(&self) -> bool {
        self.mode & 0o170_000 == 0o020_000 && self.device == (0, 0)
    }
}
