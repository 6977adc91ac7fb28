//! What can go wrong with a build. Texts that clients match on are Docker's.

use berth_kit::{Kind, Kinded};

/// Outcome of this crate's operations.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed act of the builder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The Dockerfile cannot be read; the lines with their places.
    #[error("{0}")]
    Dockerfile(String),
    /// A command ended with something else than 0.
    #[error("The command '{command}' returned a non-zero code: {code}")]
    Command {
        /// The command line.
        command: String,
        /// Its exit code.
        code: i64,
    },
    /// An instruction failed, with its place.
    #[error("{place}: {message}")]
    Step {
        /// `Dockerfile:7`.
        place: String,
        /// Why.
        message: String,
    },
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// Something that was named is not there.
    #[error("{0}")]
    Missing(String),
    /// What a build needs and was not allowed.
    #[error("{0}")]
    Forbidden(String),
    /// Something outside of the machine failed: a download, a repository, a registry.
    #[error("cannot {act} {what}: {reason}")]
    Remote {
        /// `download`.
        act: &'static str,
        /// The address.
        what: String,
        /// Why.
        reason: String,
    },
    /// A file or folder of the builder could not be used.
    #[error("cannot {act} {path}")]
    File {
        /// `open`, `write`.
        act: &'static str,
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The images.
    #[error(transparent)]
    Image(#[from] berth_image::Error),
    /// The container of a step.
    #[error(transparent)]
    Container(#[from] berth_container::Error),
    /// The layers.
    #[error(transparent)]
    Snapshot(#[from] berth_snapshot::Error),
    /// The blobs.
    #[error(transparent)]
    Content(#[from] berth_content::Error),
    /// An archive.
    #[error(transparent)]
    Archive(#[from] berth_archive::Error),
    /// The records.
    #[error(transparent)]
    Record(#[from] berth_record::Error),
    /// A step's work was stopped from outside.
    #[error("build cancelled")]
    Cancelled,
}

impl Error {
    /// For `map_err` on acts on files.
    pub(crate) fn file(act: &'static str, path: impl AsRef<std::path::Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().display().to_string();
        move |source| Self::File { act, path, source }
    }

    /// As [`Error::file`], for errors of system calls.
    pub(crate) fn call(act: &'static str, path: impl AsRef<std::path::Path>) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.as_ref().display().to_string();
        move |errno| Self::File { act, path, source: errno.into() }
    }

    /// This and its sources, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let more = error.to_string();
            if !text.ends_with(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            source = error.source();
        }
        text
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Dockerfile(_) | Self::Invalid(_) | Self::Step { .. } => Kind::Invalid,
            Self::Command { .. } => Kind::Internal,
            Self::Missing(_) => Kind::NotFound,
            Self::Forbidden(_) => Kind::Forbidden,
            Self::Remote { .. } => Kind::Unavailable,
            Self::File { source, .. } => Kinded::kind(source),
            Self::Image(error) => error.kind(),
            Self::Container(error) => error.kind(),
            Self::Snapshot(error) => error.kind(),
            Self::Content(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Record(error) => error.kind(),
            Self::Cancelled => Kind::Conflict,
        }
    }
}
