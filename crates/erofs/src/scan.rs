//! Directories into a [`Tree`]: by descriptor, following no link; several are laid one over the other.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::format;
use crate::tree::{Body, Id, Inode, ROOT, Tree, Xattrs};
use crate::{BLOCK_BYTES, PATH_BYTES_MAX};

/// Longest list of names, and longest value of an extended attribute (xattr(7)).
const XATTR_BYTES_MAX: usize = 64 << 10;
/// Bytes of all attributes of one inode (`i_xattr_icount` counts 4 bytes in 16 bits).
const XATTRS_BYTES_MAX: usize = (u16::MAX as usize - 1) * 4;
/// Overlay's mark of a directory that hides what lies below it in lower layers.
const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// The tree of one directory, with what overlay understands.
pub(crate) fn layer(root: BorrowedFd<'_>) -> Result<Tree> {
    let mut tree = Tree::default();
    Scan::new(&mut tree, root, 0, false).run()?;
    Ok(tree)
}

/// The tree that overlay would show of these layers, the lowest first.
pub(crate) fn merged(layers: &[BorrowedFd<'_>]) -> Result<Tree> {
    let mut tree = Tree::default();
    for (number, root) in layers.iter().enumerate() {
        Scan::new(&mut tree, *root, number, true).run()?;
    }
    tree.inodes.iter_mut().for_each(|inode| inode.xattrs.retain(|(name, _)| name != OPAQUE));
    Ok(tree)
}

/// One layer being laid over a tree.
struct Scan<'a> {
    tree: &'a mut Tree,
    root: BorrowedFd<'a>,
    layer: usize,
    /// Obey whiteouts and opaque marks instead of keeping them.
    merge: bool,
    /// Files of this layer with several names, by device and inode.
    links: HashMap<(u64, u64), Id>,
    value: Vec<u8>,
}

impl<'a> Scan<'a> {
    fn new(tree: &'a mut Tree, root: BorrowedFd<'a>, layer: usize, merge: bool) -> Self {
        Self { tree, root, layer, merge, links: HashMap::new(), value: vec![0; XATTR_BYTES_MAX] }
    }

    fn run(&mut self) -> Result<()> {
        let top = open_directory(self.root, b"")?;
        let stat = rustix::fs::fstat(&top).map_err(Error::read("read", b"/"))?;
        let root = self.inode(top.as_fd(), b".", b"", &stat)?;
        match self.tree.inodes.first_mut() {
            // The attributes of the uppermost root count; what is in it is merged.
            Some(old) => {
                let body = std::mem::replace(&mut old.body, Body::Special);
                *old = Inode { body, ..root };
            }
            None => {
                self.tree.add(root);
            }
        }
        drop(top);
        let mut pending = vec![(Vec::new(), ROOT)];
        while let Some((path, id)) = pending.pop() {
            let directory = open_directory(self.root, &path)?;
            for name in names(&directory).map_err(Error::read("list", &path))? {
                let mut below = path.clone();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend(&name);
                if below.len() > PATH_BYTES_MAX {
                    return Err(Error::limit(&name, "bytes of path", PATH_BYTES_MAX as u64));
                }
                if let Some(child) = self.entry(directory.as_fd(), &name, &below, id)? {
                    pending.push((below, child));
                }
            }
        }
        Ok(())
    }

    /// Takes one entry into the tree; returns a directory that is to be listed.
    fn entry(&mut self, directory: BorrowedFd<'_>, name: &[u8], path: &[u8], parent: Id) -> Result<Option<Id>> {
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(Error::read("read", path))?;
        let several = stat.st_nlink > 1 && FileType::from_raw_mode(stat.st_mode) != FileType::Directory;
        if several && let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
            self.tree.name(parent, name, *first);
            return Ok(None);
        }
        let inode = self.inode(directory, name, path, &stat)?;
        if self.merge && inode.is_whiteout() {
            self.tree.forget(parent, name);
            return Ok(None);
        }
        if inode.is_directory() {
            return Ok(Some(self.directory(parent, name, inode)));
        }
        let id = self.tree.add(inode);
        self.tree.name(parent, name, id);
        if several {
            self.links.insert((stat.st_dev, stat.st_ino), id);
        }
        Ok(None)
    }

    /// A directory over what has its name: it joins a directory unless it is opaque, and replaces anything else.
    fn directory(&mut self, parent: Id, name: &[u8], inode: Inode) -> Id {
        let opaque = inode.xattrs.iter().any(|(name, value)| name == OPAQUE && value == b"y");
        let below = self.tree.children(parent).get(name).copied().filter(|id| self.tree.get(*id).is_directory());
        if let Some(below) = below.filter(|_| !opaque) {
            let old = &mut self.tree.inodes[below as usize];
            let body = std::mem::replace(&mut old.body, Body::Special);
            *old = Inode { body, ..inode };
            return below;
        }
        let id = self.tree.add(inode);
        self.tree.name(parent, name, id);
        id
    }

    fn inode(&mut self, directory: BorrowedFd<'_>, name: &[u8], path: &[u8], stat: &Stat) -> Result<Inode> {
        let body = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Body::Directory(BTreeMap::new()),
            FileType::RegularFile => {
                Body::File { layer: self.layer, path: path.into(), bytes: u64::try_from(stat.st_size).unwrap_or(0) }
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new())
                    .map_err(Error::read("read", path))?
                    .into_bytes();
                if target.len() as u64 >= BLOCK_BYTES {
                    return Err(Error::limit(path, "bytes of link", BLOCK_BYTES - 1));
                }
                Body::Link(target.into())
            }
            _ => Body::Special,
        };
        let xattrs = self.xattrs(directory, name).map_err(Error::read("read the attributes of", path))?;
        if format::xattr_bytes(&xattrs) > XATTRS_BYTES_MAX {
            return Err(Error::limit(path, "bytes of attributes", XATTRS_BYTES_MAX as u64));
        }
        Ok(Inode {
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            device: (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)),
            xattrs,
            body,
        })
    }

    /// Through `/proc/self/fd`, because what may not be opened (devices, links) has attributes too.
    fn xattrs(&mut self, directory: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Xattrs> {
        let path = [format!("/proc/self/fd/{}/", directory.as_raw_fd()).as_bytes(), name].concat();
        let length = match rustix::fs::llistxattr(&path[..], &mut self.value[..]) {
            Ok(0) | Err(Errno::NOTSUP) => return Ok(Vec::new()),
            Ok(length) => length,
            Err(errno) => return Err(errno),
        };
        let names: Vec<Vec<u8>> =
            self.value[..length].split(|byte| *byte == 0).filter(|name| is_kept(name)).map(<[u8]>::to_vec).collect();
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            match rustix::fs::lgetxattr(&path[..], &name[..], &mut self.value[..]) {
                Ok(length) => found.push((name, self.value[..length.min(u16::MAX as usize)].to_vec())),
                Err(Errno::NODATA) => {}
                Err(errno) => return Err(errno),
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// Attributes that go into an image.
fn is_kept(name: &[u8]) -> bool {
    let overlays = name.starts_with(b"trusted.overlay.") && name != OPAQUE;
    format::is_known(name) && !overlays && name != b"security.selinux"
}

/// Opens a directory below a root, whatever the path's parts are: no link is followed and the root is not left.
fn open_directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    open(root, path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(Error::read("open", path))
}

/// Opens `path` below `root` without following links.
pub(crate) fn open(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)
}

fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}
