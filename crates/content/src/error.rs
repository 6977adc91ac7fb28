//! What can go wrong with blobs.

use std::path::PathBuf;

use berth_kit::{Kind, Kinded};
use berth_spec::Digest;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed act on the content store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store's directories cannot be made or read.
    #[error("open the content store at {path}", path = path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A new blob cannot be written.
    #[error("write a blob: {source}")]
    Write {
        /// Why; `No space left on device` is the usual one.
        source: std::io::Error,
    },
    /// The bytes are not those that were promised.
    #[error("blob {expected} has the wrong content: its digest is {found}")]
    Mismatch {
        /// Promised.
        expected: Digest,
        /// Computed.
        found: Digest,
    },
    /// There is no such blob.
    #[error("blob {0} is not in the content store")]
    Missing(Digest),
    /// A blob is larger than its reader allows.
    #[error("blob {digest} has {size} bytes, more than the {limit} allowed here")]
    TooLarge {
        /// Which.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A stored blob cannot be read or removed.
    #[error("{act} blob {digest}: {source}")]
    Access {
        /// `read`, `remove`.
        act: &'static str,
        /// Which.
        digest: Digest,
        /// Why.
        source: std::io::Error,
    },
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Open { source, .. } | Self::Write { source } | Self::Access { source, .. } => Kinded::kind(source),
            Self::Mismatch { .. } => Kind::Invalid,
            Self::Missing(_) => Kind::NotFound,
            Self::TooLarge { .. } => Kind::TooLarge,
        }
    }
}
