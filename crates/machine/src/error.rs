//! What can go wrong with machines: what failed, on what, and what to do.

use std::path::{Path, PathBuf};

use berth_kit::{Kind, Kinded};

/// A failed act on machines.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No machine has this name.
    #[error("no such machine: {0}")]
    NoSuchMachine(String),
    /// The machine has no snapshot of this name.
    #[error("machine {machine} has no snapshot {name}")]
    NoSuchSnapshot { machine: String, name: String },
    /// The name is taken.
    #[error("{what} {name} exists already: remove it, or choose another name")]
    Exists { what: &'static str, name: String },
    /// The machine's state forbids the act.
    #[error("machine {name} is {state}: {advice}")]
    State { name: String, state: &'static str, advice: &'static str },
    /// Already as wanted.
    #[error("machine {0} is already {1}")]
    Already(String, &'static str),
    /// The request, a definition or a file is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The host cannot do it.
    #[error("{0}")]
    Host(String),
    /// The machine did not start.
    #[error("cannot start machine {name}: {reason}")]
    Start { name: String, reason: String },
    /// The machine's monitor refused, or is gone.
    #[error("machine {name}: {reason}")]
    Monitor { name: String, reason: String },
    /// A file refused.
    #[error("cannot {act} {}", path.display())]
    File { act: &'static str, path: PathBuf, source: std::io::Error },
    /// A network refused.
    #[error(transparent)]
    Network(#[from] berth_network::Error),
    /// The blocking part of an act did not finish.
    #[error("cannot finish the work on machines: {0}")]
    Blocking(#[from] tokio::task::JoinError),
}

/// Result of an act on machines.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A file's refusal, for `map_err`.
    pub(crate) fn file(act: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { act, path, source }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::Invalid(text.into())
    }
}

impl From<berth_vm::Error> for Error {
    fn from(error: berth_vm::Error) -> Self {
        Self::Host(sentence(&error))
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchMachine(_) | Self::NoSuchSnapshot { .. } => Kind::NotFound,
            Self::Exists { .. } | Self::State { .. } | Self::Host(_) | Self::Start { .. } => Kind::Conflict,
            Self::Already(..) => Kind::NotModified,
            Self::Invalid(_) => Kind::Invalid,
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => Kind::Unavailable,
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Kind::Invalid,
            Self::Network(error) => error.kind(),
            Self::Monitor { .. } | Self::File { .. } | Self::Blocking(_) => Kind::Internal,
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
