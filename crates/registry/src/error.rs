//! What can go wrong with a registry's own state.

use std::path::PathBuf;

use berth_kit::{Kind, Kinded};

use crate::digest::Digest;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed act.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory of the registry.
    #[error("{act} {path}: {source}", path = path.display())]
    File {
        /// What was tried.
        act: &'static str,
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The ledger of names.
    #[error("{act}: {source}")]
    Ledger {
        /// What was tried.
        act: &'static str,
        /// Why not.
        source: rusqlite::Error,
    },
    /// The thread that writes the ledger is gone.
    #[error("{act}: the ledger is closed")]
    Closed {
        /// What was tried.
        act: &'static str,
    },
    /// Another process has this registry open.
    #[error("{path} is in use by another registry process", path = .0.display())]
    InUse(PathBuf),
    /// A blob that should be there.
    #[error("blob {0} is missing from the store")]
    Missing(Digest),
    /// The object store.
    #[error("{act} {key} in the bucket: {reason}")]
    Bucket {
        /// What was tried.
        act: &'static str,
        /// Of the object.
        key: String,
        /// Why not.
        reason: String,
    },
    /// The upstream of a mirror.
    #[error("{url}: {reason}")]
    Upstream {
        /// What was asked for.
        url: String,
        /// Why not.
        reason: String,
    },
    /// A setting that cannot be used.
    #[error("{name}: {reason}")]
    Setting {
        /// Of the flag or file.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// An account that is not there, or is there already.
    #[error("{0}")]
    Account(String),
}

impl Error {
    /// For `map_err` on files.
    pub(crate) fn file(act: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { act, path, source }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::File { source, .. } => source.kind_of_file(),
            Self::Missing(_) => Kind::NotFound,
            Self::InUse(_) | Self::Account(_) => Kind::Conflict,
            Self::Bucket { .. } | Self::Upstream { .. } | Self::Closed { .. } => Kind::Unavailable,
            Self::Setting { .. } => Kind::Invalid,
            Self::Ledger { source, .. } => match source.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DiskFull | rusqlite::ErrorCode::DatabaseBusy) => Kind::Unavailable,
                _ => Kind::Internal,
            },
        }
    }
}

trait FileKind {
    fn kind_of_file(&self) -> Kind;
}

impl FileKind for std::io::Error {
    /// A file that is gone is the registry's fault, not the client's.
    fn kind_of_file(&self) -> Kind {
        match Kinded::kind(self) {
            Kind::NotFound | Kind::Invalid | Kind::Conflict => Kind::Internal,
            kind => kind,
        }
    }
}
