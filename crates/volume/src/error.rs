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
    #[error("{act} {name}: volume is in use - [{}]", users.join(", "))]
    InUse {
        /// `remove` or `rename`.
        act: &'static str,
        /// The volume.
        name: String,
        /// Full identifiers of its containers.
        users: Vec<String>,
    },
    /// The name is taken.
    #[error("a volume named {0} exists already")]
    Exists(String),
    /// A snapshot is never written to.
    #[error(
        "volume {0} is a snapshot and read-only: mount it read-only, or make a volume of it with `berth volume clone`"
    )]
    ReadOnly(String),
    /// The volume's driver cannot do that.
    #[error("driver {driver} cannot {act} a volume")]
    Unsupported {
        /// The driver.
        driver: String,
        /// What was asked for.
        act: &'static str,
    },
    /// A plugin refused, in its own words.
    #[error("{call}: {reason}")]
    Plugin {
        /// `VolumeDriver.Mount`.
        call: &'static str,
        /// What it says.
        reason: String,
    },
    /// A plugin did not answer in time.
    #[error(
        "plugin \"{driver}\" did not answer {call} within {seconds} s: see whether the program behind {address} still works, and start it again"
    )]
    Hung {
        /// The plugin.
        driver: String,
        /// The call.
        call: &'static str,
        /// How long it was waited for.
        seconds: u64,
        /// Its socket.
        address: String,
    },
    /// A plugin cannot be spoken to.
    #[error("plugin \"{driver}\" cannot be reached at {address}: {reason}")]
    Unreachable {
        /// The plugin.
        driver: String,
        /// Its socket.
        address: String,
        /// Why.
        reason: String,
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
    /// An archive that goes into or comes from a volume, or a copy of one.
    #[error(transparent)]
    Archive(#[from] berth_archive::Error),
    /// The file system of a volume with a size.
    #[error(transparent)]
    Disk(#[from] berth_snapshot::Error),
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
            Self::InUse { .. } | Self::NameConflict(_) | Self::Exists(_) | Self::ReadOnly(_) => Kind::Conflict,
            Self::InvalidName(_)
            | Self::ShortName(_)
            | Self::InvalidOption { .. }
            | Self::InvalidFilter(_)
            | Self::Unsupported { .. } => Kind::Invalid,
            Self::Hung { .. } | Self::Unreachable { .. } => Kind::Unavailable,
            Self::Archive(error) => error.kind(),
            Self::Disk(error) => error.kind(),
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => Kind::Unavailable,
            Self::Record(error) => error.kind(),
            Self::Mount { .. } | Self::Plugin { .. } | Self::File { .. } | Self::Blocking(_) => Kind::Internal,
        }
    }
}
