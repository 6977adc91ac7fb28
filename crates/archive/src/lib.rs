//! Archives in and out: tar streams that strangers wrote, unpacked so that nothing outside the root changes.
//!
//! ```text
//! bytes ─► compression (gzip, zstd, none; stops bombs) ─► tar::read (own, bounded) ─► unpack ─► a layer or a container
//! an overlay's upper directory, a container's tree ─► pack ─► tar::write ─► bytes
//! ```
//!
//! Every path of an archive or a container is resolved below a directory descriptor by `openat2(RESOLVE_IN_ROOT)` or a
//! component at a time without following symbolic links; no path is checked first and used afterwards.
//! Everything is synchronous; nothing is decompressed by another program.

pub mod changes;
pub mod compression;
pub mod copy;
pub mod duplicate;
mod error;
pub mod hash;
pub mod pack;
mod path;
mod shift;
pub mod tar;
pub mod unpack;

pub use changes::{Change, ChangeKind};
pub use compression::Compression;
pub use error::{Error, Result};
pub use shift::IdShift;

/// Size in bytes of every copy buffer.
pub const BUFFER_BYTES: usize = 128 * 1024;
