//! What can go wrong with the resolver.

use std::path::{Path, PathBuf};

use berth_kit::{Kind, Kinded};

/// The result of this crate's acts.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed act.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the state.
    #[error("cannot {act} {}", path.display())]
    File { act: &'static str, path: PathBuf, source: std::io::Error },
    /// A file that is not what it should be.
    #[error("cannot understand {}", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    /// Sockets of a container cannot be made.
    #[error("cannot serve names in the network of container {container}")]
    Bind { container: String, source: std::io::Error },
    /// The resolver does not answer.
    #[error("the resolver does not answer at {}", path.display())]
    Control { path: PathBuf, source: std::io::Error },
    /// Waiting for events failed.
    #[error("cannot wait for questions")]
    Wait { source: std::io::Error },
}

impl Error {
    /// An [`Error::File`] for use in `map_err`.
    pub(crate) fn file(act: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { act, path, source }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        Kind::Internal
    }
}
