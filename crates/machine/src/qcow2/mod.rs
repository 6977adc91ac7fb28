//! qcow2 images (QEMU's docs/interop/qcow2.rst): who they need, what is in them, and their bytes as a raw disk.
//!
//! They come from anywhere: every number is checked before it is used, nothing is read outside of the file, and a file
//! that names other files is refused unless that was allowed.

pub mod convert;
pub mod format;
pub mod image;

pub use convert::to_raw;
pub use format::Header;
pub use image::Image;
