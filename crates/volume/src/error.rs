//! What can go wrong with volumes. Texts that clients match on are Docker's.

use std::path::PathBuf;

use berth_kit::{Kind, Kinded};

/// A failed act on volumes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No volume has this name.
    #[error("get {0}: no such volume")]
    NoSuchVolume(String),
    /// Containers use it.
    #[error("remove {name}: volume is in use - [{}]", users.join(", "))]
    InUse {
        /// The volume.
        name: String,
        /// Full identifiers of its containers.
        users: Vec<String>,
    },
    /// The name exists with another driver.
    #[error("create {0}: conflict: volume name must be unique")]
    NameConflict(String),
    /// The name has characters that a directory of a volume may not have.
    #[error(
        "create {0}: \"{0}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )]
    InvalidName(String),
    /// One character is no name.
    #[error("create {0}: volume name is too short, names should be at least two alphanumeric characters")]
    ShortName(String),
    /// No driver has this name.
    #[error("create {name}: error looking up volume plugin {driver}: plugin \"{driver}\" not found")]
    NoSuchDriver {
        /// The volume.
        name: String,
        /// The unknown driver.
        driver: String,
    },
    /// The driver refuses an option.
    #[error("create {name}: {reason}")]
    InvalidOption {
        /// The volume.
        name: String,
        /// Which option, and what it should be.
        reason: String,
    },
    /// A list or prune named an unknown filter, or gave it a bad value.
    #[error("invalid filter '{0}'")]
    InvalidFilter(String),
    /// The volume's file system could not be mounted.
    #[error("error while mounting volume '{path}': failed to mount local volume: mount {device}:{path}: {source}")]
    Mount {
        /// Where.
        path: PathBuf,
        /// What.
        device: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// A directory of a volume could not be used.
    #[error("cannot {act} {path}: {source}")]
    File {
        /// The failed act.
        act: &'static str,
        /// The directory.
        path: PathBuf,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The volume's record.
    #[error(transparent)]
    Record(#[from] berth_record::Error),
    /// The blocking part of an act did not finish.
    #[error("cannot finish the work on volumes: {0}")]
    Blocking(#[from] tokio::task::JoinError),
}

/// Result of an act on volumes.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn file(act: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File { act, path: path.to_owned(), source }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchVolume(_) | Self::NoSuchDriver { .. } => Kind::NotFound,
            Self::InUse { .. } | Self::NameConflict(_) => Kind::Conflict,
            Self::InvalidName(_) | Self::ShortName(_) | Self::InvalidOption { .. } | Self::InvalidFilter(_) => {
                Kind::Invalid
            }
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => Kind::Unavailable,
            Self::Record(error) => error.kind(),
            Self::Mount { .. } | Self::File { .. } | Self::Blocking(_) => Kind::Internal,
        }
    }
}
