//! What can go wrong between a client and its daemon.

use berth_kit::{Kind, Kinded};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text of `-H`, `BERTH_HOST` or `DOCKER_HOST` is no address.
    #[error("invalid bind address format: {0}")]
    Host(String),
    /// Nothing answers at the address.
    #[error("Cannot connect to the berth daemon at {host}. Is the berth daemon running?")]
    Connect {
        /// Where the daemon was looked for.
        host: String,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The socket exists and refuses this user.
    #[error(
        "permission denied while trying to connect to the berth daemon socket at {host}: add yourself to the \
         socket's group, or use sudo"
    )]
    Permission {
        /// Where the daemon was looked for.
        host: String,
    },
    /// No daemon was there and one could not be started.
    #[error("cannot start the berth daemon: {reason}")]
    Start {
        /// What went wrong, with the place of the daemon's log.
        reason: String,
    },
    /// A certificate or key could not be used.
    #[error("cannot use TLS file {path}: {reason}")]
    Tls {
        /// The file, or the address when the handshake failed.
        path: String,
        /// Why.
        reason: String,
    },
    /// The daemon answered with an error status; `message` is its own text.
    #[error("Error response from daemon: {message}")]
    Status {
        /// HTTP status.
        code: u16,
        /// The daemon's text.
        message: String,
    },
    /// The connection broke during a call.
    #[error("error during connect: {method} {path}: {reason}")]
    Transport {
        /// HTTP method.
        method: String,
        /// Path of the call.
        path: String,
        /// What broke.
        reason: String,
    },
    /// The answer is not what the API promises.
    #[error("unexpected answer to {path}: {reason}")]
    Decode {
        /// Path of the call.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A progress stream ended with an error of the daemon.
    #[error("{0}")]
    Remote(String),
    /// Reading the caller's input or writing its output failed.
    #[error("{act}: {source}")]
    Local {
        /// What was being done.
        act: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl Error {
    /// The daemon's own text, without the `Error response from daemon: ` before it.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Status { message, .. } => message.clone(),
            other => other.to_string(),
        }
    }

    /// Whether the daemon says that the named thing does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.kind() == Kind::NotFound
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Host(_) | Self::Tls { .. } => Kind::Invalid,
            Self::Connect { .. } | Self::Start { .. } | Self::Transport { .. } => Kind::Unavailable,
            Self::Permission { .. } => Kind::Forbidden,
            Self::Decode { .. } | Self::Remote(_) | Self::Local { .. } => Kind::Internal,
            Self::Status { code, .. } => match code {
                304 => Kind::NotModified,
                400 => Kind::Invalid,
                401 => Kind::Unauthorized,
                403 => Kind::Forbidden,
                404 => Kind::NotFound,
                409 => Kind::Conflict,
                413 => Kind::TooLarge,
                501 => Kind::NotBuilt,
                503 => Kind::Unavailable,
                _ => Kind::Internal,
            },
        }
    }
}
