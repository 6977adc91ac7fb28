//! What can go wrong while an image is written.

use std::io;

use berth_kit::{Kind, Kinded};

/// The result of every act of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed act on a tree or an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something in the tree cannot be read.
    #[error("cannot {act} {path:?}")]
    Read { act: &'static str, path: String, source: io::Error },
    /// The receiver of the image refused bytes.
    #[error("cannot write the image")]
    Write { source: io::Error },
    /// A file became longer or shorter while it was read.
    #[error("{path:?} changed while the image was written")]
    Changed { path: String },
    /// A stated limit was passed.
    #[error("{path:?}: more than {limit} {what}")]
    Limit { path: String, what: &'static str, limit: u64 },
}

impl Error {
    pub(crate) fn read<E: Into<io::Error>>(act: &'static str, path: &[u8]) -> impl FnOnce(E) -> Self {
        let path = String::from_utf8_lossy(path).into_owned();
        move |source| Self::Read { act, path, source: source.into() }
    }

    pub(crate) fn limit(path: &[u8], what: &'static str, limit: u64) -> Self {
        Self::Limit { path: String::from_utf8_lossy(path).into_owned(), what, limit }
    }

    pub(crate) fn write(source: io::Error) -> Self {
        Self::Write { source }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { source, .. } | Self::Write { source } => Kinded::kind(source),
            Self::Changed { .. } => Kind::Conflict,
            Self::Limit { .. } => Kind::TooLarge,
        }
    }
}
