//! What can go wrong with a registry. Texts that clients match are Docker's.

use std::{path::PathBuf, time::Duration};

use berth_kit::{Kind, Kinded};
use berth_spec::Digest;
use hyper::Method;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed act on a registry.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A mirror or registry whose address cannot be used.
    #[error("invalid registry address {address:?}: {reason}")]
    Address {
        /// As configured.
        address: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Certificates that cannot be read.
    #[error("read the certificates in {path}: {reason}", path = path.display())]
    Trust {
        /// File or directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No connection, or one that broke before the answer.
    #[error("{request}: {reason}")]
    Unreachable {
        /// What was asked for: `Get "https://…"`.
        request: String,
        /// Why.
        reason: String,
    },
    /// A `hosts.toml` that cannot be used.
    #[error("{path}: {reason}", path = path.display())]
    Hosts {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The header `X-Registry-Auth` is not what it should be.
    #[error("invalid X-Registry-Auth: {0}")]
    Credentials(String),
    /// The registry wants credentials in a way that is not understood.
    #[error("registry {registry} asks for unsupported authentication: {challenge}")]
    Challenge {
        /// Host.
        registry: String,
        /// `WWW-Authenticate`.
        challenge: String,
    },
    /// The registry names a stranger as its token server.
    #[error(
        "registry {registry} sends to {realm} for a token: refused, that is neither its own host over https nor a token server known for it"
    )]
    HostileRealm {
        /// Origin of the registry.
        registry: String,
        /// As it came.
        realm: String,
    },
    /// The registry or its token server does not take the credentials.
    #[error("{request}: unauthorized: {reason}")]
    Unauthorized {
        /// What was asked for: `Get "https://…"`.
        request: String,
        /// The server's words.
        reason: String,
    },
    /// Docker's text.
    #[error("pull access denied for {repository}, repository does not exist or may require 'docker login': {reason}")]
    Denied {
        /// Familiar name.
        repository: String,
        /// The registry's words.
        reason: String,
    },
    /// The registry takes nothing from this user.
    #[error("{reason}")]
    PushDenied {
        /// The registry's words.
        reason: String,
    },
    /// Docker's text.
    #[error("manifest for {reference} not found: {reason}")]
    ManifestUnknown {
        /// Familiar reference.
        reference: String,
        /// The registry's words.
        reason: String,
    },
    /// Docker's text.
    #[error("no matching manifest for {platform} in the manifest list entries")]
    NoPlatform {
        /// Wanted.
        platform: String,
    },
    /// A manifest beyond the limit.
    #[error("manifest for {reference} is larger than the limit of {limit} bytes")]
    ManifestTooLarge {
        /// Familiar reference.
        reference: String,
        /// In bytes.
        limit: usize,
    },
    /// A manifest that is none, or of a kind that is not an image.
    #[error("manifest for {reference} cannot be used: {reason}")]
    Manifest {
        /// Familiar reference.
        reference: String,
        /// What is wrong.
        reason: String,
    },
    /// The registry has been asked too often.
    #[error("{request}: toomanyrequests: {reason}")]
    TooManyRequests {
        /// What was asked for: `Get "https://…"`.
        request: String,
        /// The server's words.
        reason: String,
        /// How long it wants to be left alone.
        wait: Option<Duration>,
    },
    /// Any other refusal.
    #[error("{request}: the registry answers {status}: {reason}")]
    Status {
        /// What was asked for: `Get "https://…"`.
        request: String,
        /// Status code.
        status: u16,
        /// The server's words.
        reason: String,
    },
    /// A redirect that is not followed.
    #[error("{request}: redirect refused: {reason}")]
    Redirect {
        /// What was asked for: `Get "https://…"`.
        request: String,
        /// Why.
        reason: String,
    },
    /// Bytes that are not those of the digest.
    #[error("blob {digest} from {registry} has the wrong content: its digest is {found}; it was not stored")]
    WrongBlob {
        /// Asked for.
        digest: Digest,
        /// Who sent it.
        registry: String,
        /// Computed.
        found: Digest,
    },
    /// A blob that is longer than its manifest says.
    #[error(
        "blob {digest} from {registry} has another size than the {size} bytes that its manifest says; it was not stored"
    )]
    WrongSize {
        /// Asked for.
        digest: Digest,
        /// Who sent it.
        registry: String,
        /// In bytes, by the manifest.
        size: u64,
    },
    /// The connection broke again and again.
    #[error("blob {digest} from {registry} ends after {have} of {size} bytes: {reason}")]
    Cut {
        /// Asked for.
        digest: Digest,
        /// Who sent it.
        registry: String,
        /// Bytes that came.
        have: u64,
        /// Bytes there should be.
        size: u64,
        /// Why it broke the last time.
        reason: String,
    },
    /// A blob that the registry does not take.
    #[error("push of blob {digest} to {registry}: {reason}")]
    Upload {
        /// Which.
        digest: Digest,
        /// Where to.
        registry: String,
        /// Why.
        reason: String,
    },
    /// A download that another pull began, and that failed there.
    #[error("{0}")]
    Shared(std::sync::Arc<Self>),
    /// Nobody wants the blob any more.
    #[error("the download of blob {0} was interrupted")]
    Interrupted(Digest),
    /// A registry that cannot be searched.
    #[error("{registry} cannot be searched: {reason}")]
    Search {
        /// Which.
        registry: String,
        /// Why.
        reason: String,
    },
    /// Keeping blobs.
    #[error(transparent)]
    Content(#[from] berth_content::Error),
}

/// A request as messages show it: `Get "https://…"`.
pub(crate) fn request(method: &Method, url: &str) -> String {
    let mut word = method.as_str().to_ascii_lowercase();
    word[..1].make_ascii_uppercase();
    format!("{word} \"{url}\"")
}

impl Error {
    /// Whether another way to the same registry may help: nobody answered in HTTP at all.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether it says something about the endpoint, not about what it was asked for.
    pub(crate) fn is_sickness(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TooManyRequests { .. }
            | Self::Cut { .. }
            | Self::WrongBlob { .. }
            | Self::WrongSize { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// How long the endpoint wants to be left alone.
    pub(crate) fn wait(&self) -> Option<Duration> {
        match self {
            Self::TooManyRequests { wait, .. } => *wait,
            _ => None,
        }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Credentials(_) => Kind::Invalid,
            Self::Denied { .. } | Self::ManifestUnknown { .. } | Self::NoPlatform { .. } => Kind::NotFound,
            // Docker answers 500 for what a registry does wrong; 401 would be understood as the engine's own.
            Self::Content(error) => error.kind(),
            Self::Shared(error) => error.kind(),
            Self::Search { .. } => Kind::NotBuilt,
            _ => Kind::Internal,
        }
    }
}
