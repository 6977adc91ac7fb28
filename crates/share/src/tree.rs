//! What the guest has looked up: numbers, and the descriptors (`O_PATH`) that they stand for.

use std::{
    collections::HashMap,
    ffi::OsStr,
    os::{
        fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Statx, StatxFlags},
    io::Errno,
};

use crate::abi::ROOT;

/// A file as seen through a mount: device, inode, mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    device: (u32, u32),
    ino: u64,
    mount: u64,
}

#[derive(Debug)]
struct Node {
    fd: OwnedFd,
    key: Key,
    /// How often the guest was given the number, less what it has given back.
    lookups: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Tree {
    nodes: HashMap<u64, Node>,
    known: HashMap<Key, u64>,
    next: u64,
    /// Devices in the order in which they were met: a part of the numbers that programs see.
    devices: Vec<(u32, u32)>,
    /// `/proc/self/fd`, by which a descriptor of a name becomes one of contents.
    reopen: OwnedFd,
}

impl Tree {
    /// A tree whose root is `directory`.
    ///
    /// # Errors
    /// The kernel's refusal to open it.
    pub fn new(directory: &Path) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(directory, flags, Mode::empty())?;
        let reopen = rustix::fs::open("/proc/self/fd", flags, Mode::empty())?;
        let key = key(&facts(fd.as_fd())?);
        let mut tree =
            Self { nodes: HashMap::new(), known: HashMap::new(), next: ROOT + 1, devices: Vec::new(), reopen };
        tree.nodes.insert(ROOT, Node { fd, key, lookups: 1 });
        tree.known.insert(key, ROOT);
        Ok(tree)
    }

    /// How many files the guest has numbers for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// It never is: the root stays.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The descriptor of a number.
    ///
    /// # Errors
    /// `ENOENT` for one that was never given, or was given back.
    pub fn get(&self, node: u64) -> Result<BorrowedFd<'_>, Errno> {
        self.nodes.get(&node).map(|node| node.fd.as_fd()).ok_or(Errno::NOENT)
    }

    /// Looks `name` up in a directory; its number, which the guest has once more now, and what it is.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn look_up(&mut self, parent: u64, name: &[u8]) -> Result<(u64, Statx), Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(self.get(parent)?, OsStr::from_bytes(name), flags, Mode::empty())?;
        let facts = facts(fd.as_fd())?;
        let key = key(&facts);
        if let Some(number) = self.known.get(&key).copied() {
            if let Some(node) = self.nodes.get_mut(&number) {
                node.lookups = node.lookups.saturating_add(1);
            }
            return Ok((number, facts));
        }
        let number = self.next;
        self.next += 1;
        self.nodes.insert(number, Node { fd, key, lookups: 1 });
        self.known.insert(key, number);
        Ok((number, facts))
    }

    /// The guest gives a number back that it was given so often.
    pub fn forget(&mut self, number: u64, lookups: u64) {
        let Some(node) = self.nodes.get_mut(&number).filter(|_| number != ROOT) else { return };
        node.lookups = node.lookups.saturating_sub(lookups);
        if node.lookups == 0 {
            let key = node.key;
            self.nodes.remove(&number);
            self.known.remove(&key);
        }
    }

    /// Forgets all but the root: the guest's kernel starts anew.
    pub fn clear(&mut self) {
        self.nodes.retain(|number, _| *number == ROOT);
        self.known.retain(|_, number| *number == ROOT);
    }

    /// Opens a regular file's contents.
    ///
    /// # Errors
    /// `ENXIO` for what is neither that nor a directory, `EISDIR`, and the kernel's refusal.
    pub fn open(&self, node: u64, flags: OFlags) -> Result<OwnedFd, Errno> {
        let fd = self.get(node)?;
        match kind(&facts(fd)?) {
            FileType::RegularFile => self.open_again(fd, flags),
            FileType::Directory => Err(Errno::ISDIR),
            FileType::Symlink => Err(Errno::LOOP),
            _ => Err(Errno::NXIO),
        }
    }

    /// Opens a directory's entries.
    ///
    /// # Errors
    /// `ENOTDIR`, and the kernel's refusal.
    pub fn open_directory(&self, node: u64) -> Result<OwnedFd, Errno> {
        let fd = self.get(node)?;
        match kind(&facts(fd)?) {
            FileType::Directory => self.open_again(fd, OFlags::RDONLY | OFlags::DIRECTORY),
            _ => Err(Errno::NOTDIR),
        }
    }

    fn open_again(&self, fd: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
        let name = fd.as_raw_fd().to_string();
        rustix::fs::openat(&self.reopen, name, flags | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
    }

    /// The name by which calls that take no descriptor reach a file itself, be it a symbolic link.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn path(&self, node: u64) -> Result<String, Errno> {
        Ok(format!("/proc/self/fd/{}", self.get(node)?.as_raw_fd()))
    }

    /// The inode number that programs see: those of several devices are one device's to the guest, and must differ.
    pub fn shown_ino(&mut self, facts: &Statx) -> u64 {
        let device = (facts.stx_dev_major, facts.stx_dev_minor);
        let index = self.devices.iter().position(|known| *known == device).unwrap_or_else(|| {
            self.devices.push(device);
            self.devices.len() - 1
        });
        facts.stx_ino ^ (index as u64) << 48
    }
}

/// What a descriptor's file is.
///
/// # Errors
/// The kernel's refusal.
pub fn facts(fd: BorrowedFd<'_>) -> Result<Statx, Errno> {
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
    rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW, wanted)
}

/// Its type.
#[must_use]
pub fn kind(facts: &Statx) -> FileType {
    FileType::from_raw_mode(facts.stx_mode.into())
}

fn key(facts: &Statx) -> Key {
    Key { device: (facts.stx_dev_major, facts.stx_dev_minor), ino: facts.stx_ino, mount: facts.stx_mnt_id }
}
