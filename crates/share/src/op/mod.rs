//! The operations, by what they act on.

pub mod attribute;
pub mod directory;
pub mod entry;
pub mod file;
pub mod xattr;
