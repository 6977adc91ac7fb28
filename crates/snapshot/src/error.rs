//! What can go wrong with layers and snapshots.

use std::path::{Path, PathBuf};

use berth_kit::{Kind, Kinded};

/// The result of every act of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed act on a layer, a snapshot or a root file system.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A chain id that is not `sha256:` and 64 hexadecimal digits.
    #[error("invalid chain id {chain_id:?}: want sha256:<64 hexadecimal digits>")]
    InvalidChainId { chain_id: String },
    /// A snapshot key that cannot be a file name.
    #[error("invalid snapshot key {key:?}")]
    InvalidKey { key: String },
    /// No such layer.
    #[error("layer {chain_id} does not exist")]
    LayerMissing { chain_id: String },
    /// A layer's files are gone from under the engine.
    #[error(
        "layer {chain_id} is damaged: {} is missing; remove the containers and images that use it, and load the image again",
        path.display()
    )]
    LayerDamaged { chain_id: String, path: PathBuf },
    /// Another layer or a snapshot stands on it.
    #[error("layer {chain_id} is in use by {user}")]
    LayerInUse { chain_id: String, user: String },
    /// No such snapshot.
    #[error("snapshot {key} does not exist")]
    SnapshotMissing { key: String },
    /// The key is taken.
    #[error("snapshot {key} already exists")]
    SnapshotExists { key: String },
    /// A layer's description cannot be read.
    #[error("layer record {} is damaged", path.display())]
    DamagedRecord { path: PathBuf, source: serde_json::Error },
    /// The file system below cannot carry ids of another user namespace.
    #[error(
        "the file system of {} does not support id-mapped mounts; move the data root or run with --userns=host",
        path.display()
    )]
    IdMapRefused { path: PathBuf },
    /// A container's layer is a part of a whole copy, which has no size of its own.
    #[error("the storage driver {driver} cannot limit the size of a container's layer; use overlay2 or erofs")]
    LimitRefused { driver: &'static str },
    /// Less than a file system needs for itself.
    #[error("a container's layer cannot be limited to {bytes} bytes: the least is {least}")]
    LimitTooSmall { bytes: u64, least: u64 },
    /// An image of a layer cannot be written.
    #[error("cannot write the image of layer {chain_id}")]
    Image { chain_id: String, source: berth_erofs::Error },
    /// An image is no longer the one that was sealed.
    #[error(
        "the image of layer {chain_id} is not the one that was written: its digest is {found} instead of {expected}"
    )]
    Unsealed { chain_id: String, found: String, expected: String },
    /// The kernel refused to make a mount.
    #[error("cannot mount {what} for {}{}", path.display(), detail(messages))]
    Mount { what: &'static str, path: PathBuf, messages: String, source: std::io::Error },
    /// An operation on a file or directory failed.
    #[error("cannot {act} {}", path.display())]
    Io { act: &'static str, path: PathBuf, source: std::io::Error },
}

/// The kernel's own words in brackets, when it had any.
fn detail(messages: &str) -> String {
    if messages.is_empty() { String::new() } else { format!(" ({})", messages.replace('\n', "; ")) }
}

impl Error {
    /// An [`Error::Io`] for use in `map_err`.
    pub(crate) fn io<E: Into<std::io::Error>>(act: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |source| Error::Io { act, path, source: source.into() }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::InvalidChainId { .. } | Error::InvalidKey { .. } => Kind::Invalid,
            Error::LayerMissing { .. } | Error::SnapshotMissing { .. } => Kind::NotFound,
            Error::LayerInUse { .. } | Error::SnapshotExists { .. } => Kind::Conflict,
            Error::LimitRefused { .. } | Error::LimitTooSmall { .. } => Kind::Invalid,
            Error::Image { source, .. } => source.kind(),
            Error::IdMapRefused { .. } => Kind::Unavailable,
            Error::DamagedRecord { .. } | Error::LayerDamaged { .. } | Error::Unsealed { .. } => Kind::Internal,
            Error::Mount { source, .. } | Error::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::Unavailable,
                _ => Kind::Internal,
            },
        }
    }
}
