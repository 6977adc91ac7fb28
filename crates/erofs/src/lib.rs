//! EROFS images: read-only file systems in one file, written from trees, the same bytes for the same tree.
//!
//! ```text
//! directories ─► scan (by descriptor, no link followed) ─► tree ─► layout (a place for each inode) ─► write
//!      several: each laid over the last, whiteouts and opaque directories obeyed
//!
//! block 0      1 ...                                      ...                          end
//! │ superblock │ inodes, attributes and tails of files    │ whole blocks of files       │
//! ```
//!
//! Nothing is compressed, so that pages of the image are pages of its files. The kernel mounts the result
//! (`mount -t erofs`, over a loop device, from a file since 6.12, or from a virtual disk in a guest).
//! The format is that of the Linux kernel's documentation, `filesystems/erofs.rst`, and of `fs/erofs/erofs_fs.h`.
//!
//! ```
//! # fn main() -> berth_erofs::Result<()> {
//! # let layers = [tempfile::tempdir().expect("scratch"), tempfile::tempdir().expect("scratch")];
//! # std::fs::write(layers[0].path().join("hello"), "hi").expect("write");
//! use std::{fs::File, os::fd::AsFd};
//! // One directory as it is; whiteouts (character devices 0/0) and opaque marks stay, so overlay can use the mount.
//! let layer = File::open(layers[0].path()).expect("open");
//! let mut image = tempfile::tempfile().expect("image");
//! let written = berth_erofs::write(&mut image, layer.as_fd())?;
//! assert_eq!((written.inodes, written.bytes % 4096), (2, 0));
//! // Several layers, lowest first, as the one tree that overlay would show.
//! let upper = File::open(layers[1].path()).expect("open");
//! let mut merged = tempfile::tempfile().expect("image");
//! berth_erofs::write_merged(&mut merged, &[layer.as_fd(), upper.as_fd()])?;
//! # Ok(())
//! # }
//! ```

mod checksum;
mod error;
mod format;
mod layout;
mod scan;
mod tree;
mod write;

use std::io::{Seek, Write};
use std::os::fd::BorrowedFd;

pub use error::{Error, Result};

/// Size in bytes of a block of the image.
pub const BLOCK_BYTES: u64 = 4096;
/// Longest path, in bytes below the root, that is read (`PATH_MAX` less the terminator).
pub const PATH_BYTES_MAX: usize = 4095;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Length in bytes of the image: a multiple of [`BLOCK_BYTES`].
    pub bytes: u64,
    /// Files, directories and other nodes; hard links count once.
    pub inodes: u64,
    /// Bytes in regular files; hard links count once.
    pub file_bytes: u64,
}

/// Writes the tree below `root` as an image: owners, modes, times, extended attributes, hard links, devices.
///
/// What overlay understands stays as it is: whiteouts and `trusted.overlay.opaque`. Other `trusted.overlay.*`
/// attributes and labels of this host's policy (`security.selinux`) are left out.
///
/// `out` must be empty and stand at its start: runs of zeros are stepped over. The directory must not change meanwhile;
/// a file that does is an error ([`Error::Changed`]).
pub fn write(out: &mut (impl Write + Seek), root: BorrowedFd<'_>) -> Result<Written> {
    write::image(out, &scan::layer(root)?, &[root])
}

/// Writes the tree that overlay would show of these layers, the lowest first. Nothing of overlay's own is left in it.
pub fn write_merged(out: &mut (impl Write + Seek), layers: &[BorrowedFd<'_>]) -> Result<Written> {
    write::image(out, &scan::merged(layers)?, layers)
}
