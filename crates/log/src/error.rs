//! What can go wrong with a log.

use std::path::PathBuf;

use berth_kit::{Kind, Kinded};

/// A failed act on a log. Texts of option errors are Docker's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such driver.
    #[error("logger: no log driver named '{0}' is registered")]
    UnknownDriver(String),
    /// The driver has no such option.
    #[error("unknown log opt '{option}' for {driver} log driver")]
    UnknownOption {
        /// As the user wrote it.
        option: String,
        /// The driver.
        driver: String,
    },
    /// The option's value is refused.
    #[error("invalid value '{value}' for log opt '{option}': {why}")]
    BadOption {
        /// As the user wrote it.
        option: String,
        /// As the user wrote it.
        value: String,
        /// What would be accepted.
        why: String,
    },
    /// The driver keeps nothing that could be read here.
    #[error("configured logging driver does not support reading")]
    NotReadable(String),
    /// A log file could not be opened.
    #[error("cannot open the log file {path}")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Entries were lost because the file could not be written.
    #[error("cannot write the log file {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A full log file could not be put aside.
    #[error("cannot rotate the log file {path}")]
    Rotate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A log file could not be read.
    #[error("cannot read the log file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The log service does not answer.
    #[error("cannot connect to the log service at {address}")]
    Connect {
        /// Socket path or `host:port`.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// Entries were lost because the log service did not take them.
    #[error("cannot send to the log service at {address}")]
    Send {
        /// Socket path or `host:port`.
        address: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn bad_option(option: &str, value: &str, why: impl Into<String>) -> Self {
        Self::BadOption { option: option.to_owned(), value: value.to_owned(), why: why.into() }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownDriver(_) | Self::UnknownOption { .. } | Self::BadOption { .. } => Kind::Invalid,
            Self::NotReadable(_) => Kind::NotBuilt,
            Self::Open { source, .. }
            | Self::Write { source, .. }
            | Self::Rotate { source, .. }
            | Self::Read { source, .. } => Kinded::kind(source),
            Self::Connect { .. } | Self::Send { .. } => Kind::Unavailable,
        }
    }
}

/// Result of an act on a log.
pub type Result<T> = std::result::Result<T, Error>;
