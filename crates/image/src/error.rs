//! What can go wrong with images. Texts that clients match are Docker's.

use berth_kit::{Kind, Kinded};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed act on images.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Docker's text.
    #[error("No such image: {0}")]
    Missing(String),
    /// A prefix of several ids.
    #[error("ambiguous image id {0}: more than one image begins with it")]
    Ambiguous(String),
    /// A name that is none.
    #[error(transparent)]
    Reference(#[from] berth_spec::reference::InvalidReference),
    /// A platform that is none.
    #[error(transparent)]
    Platform(#[from] berth_spec::platform::InvalidPlatform),
    /// Docker's text.
    #[error("refusing to create a tag with a digest reference")]
    TagWithDigest,
    /// Docker's text; `how` is `must be forced` or `cannot be forced`.
    #[error("conflict: unable to delete {id} ({how}) - {why}")]
    Conflict {
        /// Short id.
        id: String,
        /// Whether force would help.
        how: &'static str,
        /// What stands in the way.
        why: String,
    },
    /// Docker's text.
    #[error(
        "conflict: unable to remove repository reference \"{reference}\" (must force) - container {container} is using its referenced image {id}"
    )]
    ReferenceInUse {
        /// As the client wrote it.
        reference: String,
        /// Short id.
        container: String,
        /// Short id.
        id: String,
    },
    /// A filter that is not known, or has a wrong value.
    #[error("invalid filter '{0}'")]
    Filter(String),
    /// A `--change` that cannot be applied.
    #[error("invalid change {instruction:?}: {reason}")]
    Change {
        /// The instruction.
        instruction: String,
        /// What is wrong.
        reason: String,
    },
    /// An archive that is not an image archive, or contradicts itself.
    #[error("invalid image archive: {0}")]
    Archive(String),
    /// An image for another operating system.
    #[error("cannot use an image for {0} on linux")]
    ForeignSystem(String),
    /// A layer that is not what its image says.
    #[error("layer {expected} has the wrong content: its digest is {found}; the image was not stored")]
    WrongLayer {
        /// By the configuration.
        expected: String,
        /// As computed.
        found: String,
    },
    /// A stored configuration or layer is gone or damaged.
    #[error("image {id} is damaged: {reason}; remove it and load it again")]
    Damaged {
        /// Full id.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// No image of an archive is for these platforms.
    #[error("the archive has no image for the specified platform ({0})")]
    NoPlatform(String),
    /// Docker's text.
    #[error(
        "image with reference {reference} was found but its platform ({found}) does not match the specified platform ({wanted})"
    )]
    OtherPlatform {
        /// Familiar reference.
        reference: String,
        /// By its configuration.
        found: String,
        /// By the client.
        wanted: String,
    },
    /// Docker's text.
    #[error("tag does not exist: {0}")]
    NoSuchTag(String),
    /// Docker's text.
    #[error("An image does not exist locally with the tag: {0}")]
    NothingToPush(String),
    /// The policy for images does not let it in.
    #[error("image {reference} is refused by the policy for images: {reason}")]
    Policy {
        /// As asked for.
        reference: String,
        /// Which rule, and what is missing.
        reason: String,
    },
    /// The client went away before the end.
    #[error("the transfer of {0} was interrupted")]
    Interrupted(String),
    /// Talking to a registry.
    #[error(transparent)]
    Remote(#[from] berth_remote::Error),
    /// Reading or writing an archive.
    #[error(transparent)]
    Unpack(#[from] berth_archive::Error),
    /// Keeping blobs.
    #[error(transparent)]
    Content(#[from] berth_content::Error),
    /// Keeping layers.
    #[error(transparent)]
    Snapshot(#[from] berth_snapshot::Error),
    /// Keeping records.
    #[error(transparent)]
    Record(#[from] berth_record::Error),
    /// A file of the host.
    #[error("{act} {path}: {source}")]
    File {
        /// `open`, `read`, …
        act: &'static str,
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn archive(reason: impl Into<String>) -> Self {
        Self::Archive(reason.into())
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Missing(_)
            | Self::OtherPlatform { .. }
            | Self::NoPlatform(_)
            | Self::NoSuchTag(_)
            | Self::NothingToPush(_) => Kind::NotFound,
            Self::Policy { .. } => Kind::Forbidden,
            Self::Conflict { .. } | Self::ReferenceInUse { .. } => Kind::Conflict,
            Self::Ambiguous(_)
            | Self::Reference(_)
            | Self::Platform(_)
            | Self::TagWithDigest
            | Self::Filter(_)
            | Self::Change { .. }
            | Self::Archive(_)
            | Self::ForeignSystem(_)
            | Self::WrongLayer { .. } => Kind::Invalid,
            Self::Damaged { .. } | Self::Interrupted(_) => Kind::Internal,
            Self::Remote(error) => error.kind(),
            Self::Unpack(error) => error.kind(),
            Self::Content(error) => error.kind(),
            Self::Snapshot(error) => error.kind(),
            Self::Record(error) => error.kind(),
            Self::File { source, .. } => Kinded::kind(source),
        }
    }
}
