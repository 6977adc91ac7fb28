//! Unpacks archives of strangers below a directory descriptor.
//!
//! ```text
//! tar::Reader ─► entry ─► Parents: its directory, opened below the root ─► place: made by name in that directory
//! ```
//!
//! [`layer`] makes an image layer of an archive (whiteouts become what overlay wants); [`extract`] adds an archive to
//! a tree that exists, such as a running container's, whose processes may change the tree meanwhile.

mod extract;
mod layer;
mod parents;
mod place;
mod verify;

pub use extract::{ExtractOptions, extract};
pub use layer::{Whiteouts, unpack_layer};
pub use parents::open_in_root;
pub(crate) use place::{finish_open, make, times};
pub use verify::verify_layer;

/// Where unpacking stops with [`crate::Error::Limit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most entries.
    pub entries: u64,
    /// Most directories above one entry.
    pub path_depth: usize,
    /// Longest path in bytes (Linux: PATH_MAX).
    pub path_bytes: usize,
    /// Most bytes of all files together, holes included.
    pub total_bytes: u64,
    /// Most bytes of extended attributes of one entry.
    pub xattr_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 1_000_000, path_depth: 256, path_bytes: 4096, total_bytes: 64 << 30, xattr_bytes: 256 << 10 }
    }
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Bytes of all files together; hard links count once.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

/// Counts against the limits.
#[derive(Debug)]
struct Meter {
    limits: Limits,
    done: Unpacked,
}

impl Meter {
    fn new(limits: Limits) -> Self {
        Self { limits, done: Unpacked::default() }
    }

    /// Checks an entry by its headers alone, before anything is made.
    fn admit(&mut self, entry: &crate::tar::Entry, path: &[u8]) -> crate::Result<()> {
        let limits = &self.limits;
        let over = |what, limit| Err(crate::Error::Limit { what, limit });
        self.done.entries += 1;
        self.done.bytes = self.done.bytes.saturating_add(entry.size);
        if self.done.entries > limits.entries {
            return over("entries", limits.entries);
        }
        if path.len() > limits.path_bytes || entry.link.len() > limits.path_bytes {
            return over("bytes in a path", limits.path_bytes as u64);
        }
        if crate::path::depth(path) > limits.path_depth {
            return over("directories above an entry", limits.path_depth as u64);
        }
        if self.done.bytes > limits.total_bytes {
            return over("bytes of files", limits.total_bytes);
        }
        let xattrs: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if xattrs > limits.xattr_bytes {
            return over("bytes of extended attributes on an entry", limits.xattr_bytes as u64);
        }
        Ok(())
    }
}
