//! Blobs by digest: image configurations, manifests and layers, each stored once.
//!
//! ```text
//! <root>/blobs/sha256/<hex>     a whole blob, mode 0600; its SHA-256 is its name
//! <root>/ingest/<random>        a blob being written; swept at open
//! <root>/partial/<hex>          a blob that arrives in parts, taken up again after a crash; swept when it gets old
//! ```
//!
//! A blob appears by rename(2) after its bytes were hashed and synced, so a name in `blobs` always means the whole blob.
//! The store counts no references: who removes a blob knows that nobody needs it.

mod error;
mod partial;
mod store;
mod write;

pub use error::{Error, Result};
pub use partial::Partial;
pub use store::Store;
pub use write::BlobWriter;
