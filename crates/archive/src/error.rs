//! What can go wrong with archives.

use std::io;

use berth_kit::{Kind, Kinded};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed act on an archive.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream ended early, broke, or is not what its compression says.
    #[error("read archive: {source}")]
    Read {
        /// Why.
        source: io::Error,
    },
    /// The receiver of a written archive refused bytes.
    #[error("write archive: {source}")]
    Write {
        /// Why.
        source: io::Error,
    },
    /// The bytes do not follow the tar format.
    #[error("invalid archive: {reason} (at byte {offset})")]
    Format {
        /// Offset of the header in the uncompressed stream.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A stated limit was passed.
    #[error("archive refused: more than {limit} {what}")]
    Limit {
        /// What was counted, in words: `entries`, `bytes of files`.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A path or link would leave the root.
    #[error("archive refused: {path:?} points outside of its root")]
    Escape {
        /// The path as it stands in the archive.
        path: String,
    },
    /// An entry that no honest layer has.
    #[error("archive refused: {path:?}: {reason}")]
    Hostile {
        /// The entry.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Docker's refusal under `noOverwriteDirNonDir`; the text is Docker's.
    #[error("cannot overwrite {old} {path:?} with {new} {root:?}")]
    Overwrite {
        /// `directory` or `non-directory`.
        old: &'static str,
        /// What exists.
        path: String,
        /// The other one.
        new: &'static str,
        /// The entry's name.
        root: String,
    },
    /// One entry cannot be made or read on disk.
    #[error("{act} {path:?}: {source}")]
    Entry {
        /// `create`, `write`, `link`, …
        act: &'static str,
        /// The entry.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A compression that is recognised but not spoken.
    #[error("{0} compression is not supported: use gzip, zstd or none")]
    Compression(&'static str),
}

impl Error {
    /// The error of an entry, from an errno.
    pub(crate) fn entry(act: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Entry { act, path: String::from_utf8_lossy(path).into_owned(), source: source.into() }
    }

    pub(crate) fn hostile(path: &[u8], reason: &'static str) -> Self {
        Self::Hostile { path: String::from_utf8_lossy(path).into_owned(), reason }
    }

    /// A failed read; a limit that a lower reader raised comes out as itself.
    pub(crate) fn read(source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(own) => own,
            Err(source) => Self::Read { source },
        }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Read { source } => match source.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                    Kind::Invalid
                }
                _ => Kind::Internal,
            },
            Self::Write { source } | Self::Entry { source, .. } => Kinded::kind(source),
            Self::Format { .. }
            | Self::Escape { .. }
            | Self::Hostile { .. }
            | Self::Overwrite { .. }
            | Self::Compression(_) => Kind::Invalid,
            Self::Limit { .. } => Kind::TooLarge,
        }
    }
}
