//! What is wrong with a request before a noun sees it. Texts are Docker's where clients know them.

use berth_kit::{Kind, Kinded};

/// A request this door turns away.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No operation has this path and method.
    #[error("page not found")]
    NoPage,
    /// The client speaks a version from before [`berth_spec::API_VERSION_MIN`].
    #[error("client version {0} is too old. Minimum supported API version is {min}, please upgrade your client to a newer version", min = berth_spec::API_VERSION_MIN)]
    TooOld(String),
    /// The client speaks a version after [`berth_spec::API_VERSION`].
    #[error("client version {0} is too new. Maximum supported API version is {max}", max = berth_spec::API_VERSION)]
    TooNew(String),
    /// A part of the path is no text.
    #[error("invalid path: {0}")]
    Path(String),
    /// A query parameter has a value it cannot have.
    #[error("invalid query parameter {name}: {value:?} is not {expected}")]
    Parameter {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A query parameter must be given.
    #[error("missing query parameter {0}")]
    Missing(&'static str),
    /// A header has a value it cannot have.
    #[error("invalid header {name}: {reason}")]
    Header {
        /// Its name.
        name: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The body is announced as something else than JSON.
    #[error("unsupported Content-Type header ({0}): must be 'application/json'")]
    ContentType(String),
    /// There is a body, but nothing says what it is.
    #[error("malformed Content-Type header (): mime: no media type")]
    NoContentType,
    /// The body is not the JSON it should be.
    #[error("invalid JSON: {0}")]
    Json(String),
    /// The body is longer than an operation of this kind takes.
    #[error("request body is larger than the limit of {0} bytes")]
    BodyTooLarge(usize),
    /// The body did not arrive whole.
    #[error("cannot read the request body: {0}")]
    Body(String),
    /// No plugin has this name: berth has none.
    #[error("plugin \"{0}\" not found")]
    NoSuchPlugin(String),
    /// Anything else about the request.
    #[error("{0}")]
    Invalid(String),
    /// The registry does not know these credentials.
    #[error("{0}")]
    Unauthorized(String),
    /// A peer that the request needs does not answer.
    #[error("{0}")]
    Unreachable(String),
    /// A part of Docker's clusters, in which berth never is.
    #[error("{0}")]
    NoCluster(&'static str),
    /// This engine is no member of a swarm.
    #[error("{}. Swarm mode is not built yet", if *.0 == "part" { "This node is not part of a swarm" } else { "This node is not a swarm manager" })]
    OutsideOfSwarm(&'static str),
    /// A later part of berth.
    #[error("{0} is not built yet")]
    NotBuilt(&'static str),
    /// An answer could not be written as JSON.
    #[error("cannot encode the answer: {0}")]
    Encode(#[from] serde_json::Error),
    /// A socket could not be made or used.
    #[error("cannot {act} {address}: {source}")]
    Socket {
        /// The failed act.
        act: &'static str,
        /// On which address.
        address: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

/// Result of an act of this door.
pub type Result<T> = std::result::Result<T, Error>;

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NoPage | Self::NoSuchPlugin(_) => Kind::NotFound,
            Self::Unauthorized(_) => Kind::Unauthorized,
            Self::BodyTooLarge(_) => Kind::TooLarge,
            Self::NotBuilt(_) => Kind::NotBuilt,
            Self::NoCluster(_) => Kind::Unavailable,
            Self::OutsideOfSwarm(_) => Kind::Unavailable,
            Self::Encode(_) | Self::Socket { .. } | Self::Unreachable(_) => Kind::Internal,
            _ => Kind::Invalid,
        }
    }
}
