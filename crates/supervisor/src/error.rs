//! What can go wrong between a daemon, a supervisor and its container.

use std::path::PathBuf;

use berth_kit::{Kind, Kinded};

use crate::protocol::Failure;

/// A failed act of a supervisor or of its client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the bundle could not be read.
    #[error("cannot read {path}")]
    ReadBundle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the bundle does not say what it should.
    #[error("cannot understand {path}")]
    ParseBundle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A file of the bundle could not be written.
    #[error("cannot write {path}")]
    WriteBundle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The supervisor process could not be started.
    #[error("cannot start the supervisor {program}")]
    Spawn {
        /// The binary.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nobody answers on the bundle's socket: the supervisor has ended.
    #[error("no supervisor answers on {path}")]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("the supervisor of {path} went away")]
    Talk {
        /// The bundle.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The other side does not follow the protocol.
    #[error("the supervisor of {path} answered out of turn: {answer}")]
    Protocol {
        /// The bundle.
        path: PathBuf,
        /// What came.
        answer: String,
    },
    /// The log could not be opened.
    #[error("cannot open the container's log")]
    Log(#[from] berth_log::Error),
    /// The container's own system calls.
    #[error("cannot {act}")]
    System {
        /// What was being done.
        act: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The container or exec failed at a named step.
    #[error("{}", .0.message)]
    Failed(Failure),
}

impl Error {
    pub(crate) fn system(act: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::System { act, source: errno.into() }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::ReadBundle { source, .. } | Self::WriteBundle { source, .. } => Kinded::kind(source),
            Self::Connect { .. } | Self::Talk { .. } => Kind::Unavailable,
            Self::Log(error) => error.kind(),
            Self::Failed(failure) => failure.kind(),
            Self::ParseBundle { .. } | Self::Spawn { .. } | Self::Protocol { .. } | Self::System { .. } => {
                Kind::Internal
            }
        }
    }
}

/// Result of an act of this crate.
pub type Result<T> = std::result::Result<T, Error>;
