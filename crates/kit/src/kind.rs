//! What went wrong, in the few categories a caller can act on.
//!
//! Every crate's error enum implements [`Kinded`]; the kind is turned into a status in three places only:
//! `api` (HTTP), `cri` (gRPC) and `cli` (125/126/127).

/// The category of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request itself is wrong: a field, name or value (HTTP 400).
    Invalid,
    /// No valid credentials were given (HTTP 401).
    Unauthorized,
    /// The caller may not do this (HTTP 403).
    Forbidden,
    /// The named thing does not exist (HTTP 404).
    NotFound,
    /// The thing exists, or its state forbids the act (HTTP 409).
    Conflict,
    /// Nothing to do: already in the wanted state (HTTP 304).
    NotModified,
    /// A stated limit was passed (HTTP 413).
    TooLarge,
    /// A resource is missing for now: disk, controller, peer (HTTP 503).
    Unavailable,
    /// The operation belongs to a part that does not exist yet (HTTP 501).
    NotBuilt,
    /// Anything else (HTTP 500).
    Internal,
}

/// An error that knows its [`Kind`].
pub trait Kinded: std::error::Error {
    /// The category of this failure.
    fn kind(&self) -> Kind;
}

impl Kinded for std::io::Error {
    fn kind(&self) -> Kind {
        match std::io::Error::kind(self) {
            std::io::ErrorKind::NotFound => Kind::NotFound,
            std::io::ErrorKind::AlreadyExists => Kind::Conflict,
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData => Kind::Invalid,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::Unavailable,
            _ => Kind::Internal,
        }
    }
}
