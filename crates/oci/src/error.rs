//! What can go wrong with a call.

use std::path::{Path, PathBuf};

use berth_kit::{Kind, Kinded};

/// The result of a verb.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line is wrong.
    #[error("{0}")]
    Usage(String),
    /// An id with letters that no id may have.
    #[error("invalid container ID format: {id}")]
    InvalidId { id: String },
    /// A container of that name is there already.
    #[error("container with given ID already exists: {id}")]
    Exists { id: String },
    /// There is none.
    #[error("container does not exist: {id}")]
    NotFound { id: String },
    /// The container is not in a state in which this can be done.
    #[error("{0}")]
    State(String),
    /// A file of a bundle or of the store.
    #[error("cannot {act} {}", path.display())]
    File { act: &'static str, path: PathBuf, source: std::io::Error },
    /// A file that is not what it should be.
    #[error("cannot understand {}", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    /// Something about the container's processes failed.
    #[error("cannot {act}")]
    Process { act: &'static str, source: std::io::Error },
    /// A terminal is asked for, but nobody takes it.
    #[error("{0}")]
    Console(String),
    /// What this machine lacks.
    #[error("{0}")]
    Missing(String),
    /// The runtime itself.
    #[error(transparent)]
    Runtime(#[from] berth_runtime::Error),
    /// Control groups.
    #[error(transparent)]
    Cgroup(#[from] berth_runtime::cgroup::Error),
    /// Numbers that are none.
    #[error("invalid value {value:?} of --{flag}")]
    Value { flag: String, value: String },
}

impl Error {
    /// An [`Error::File`] for use in `map_err`.
    pub(crate) fn file<E: Into<std::io::Error>>(act: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_owned();
        move |error| Self::File { act, path, source: error.into() }
    }

    /// An [`Error::Process`] for use in `map_err`.
    pub(crate) fn process<E: Into<std::io::Error>>(act: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Process { act, source: error.into() }
    }

    /// The sentence and all its causes.
    pub(crate) fn told(&self) -> String {
        let (mut text, mut source) = (self.to_string(), std::error::Error::source(self));
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Usage(_) | Self::InvalidId { .. } | Self::Parse { .. } | Self::Console(_) | Self::Value { .. } => {
                Kind::Invalid
            }
            Self::NotFound { .. } => Kind::NotFound,
            Self::Exists { .. } | Self::State(_) => Kind::Conflict,
            Self::Runtime(error) => error.kind(),
            Self::Cgroup(error) => error.kind(),
            Self::File { .. } | Self::Process { .. } | Self::Missing(_) => Kind::Internal,
        }
    }
}
