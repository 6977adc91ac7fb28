//! Writes trees as archives: a container's changes as an image layer, and any part of a tree for export and copies.
//!
//! Entries come in the order of their names, so that the same tree always gives the same bytes. Files may change
//! while they are read; every entry has the length that its header states.

mod layer;
mod tree;
mod walk;

pub use layer::layer;
pub use tree::{TreeOptions, stat_entry, tree};
pub(crate) use walk::{DEPTH_MAX, Packer, has_xattr, mtime, names, open_directory, open_file, open_xattrs, stat};
