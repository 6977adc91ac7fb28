//! What can be wrong with a word or a pattern whose place the caller knows.

/// Why a word could not be expanded, or an ignore file not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A quote or brace that never closes.
    #[error("unexpected end of statement while looking for matching {0}")]
    Unclosed(&'static str),
    /// `${}`, `${:`.
    #[error("syntax error: bad substitution")]
    BadSubstitution,
    /// `${x@y}`.
    #[error("unsupported modifier ({0}) in substitution")]
    Modifier(String),
    /// `${x?}` without a value; its message.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// What the file says, or that it is unset or empty.
        message: String,
    },
    /// A limit of [`crate::limit`].
    #[error("expansion {0}")]
    Limit(&'static str),
    /// A pattern of an ignore file.
    #[error("invalid pattern {pattern:?} on line {line}: {reason}")]
    Pattern {
        /// The pattern as written.
        pattern: String,
        /// Its line, from one.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// An ignore file beyond a limit.
    #[error("the ignore file {0}")]
    IgnoreFile(String),
}

impl berth_kit::Kinded for Error {
    fn kind(&self) -> berth_kit::Kind {
        match self {
            Self::Limit(_) | Self::IgnoreFile(_) => berth_kit::Kind::TooLarge,
            _ => berth_kit::Kind::Invalid,
        }
    }
}
