//! What can go wrong with containers. Texts that clients match on are Docker's.

use berth_kit::{Kind, Kinded};

/// A failed act on containers.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No container has this name or identifier prefix.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// A container has no such link.
    #[error("No such link: {0}")]
    NoSuchLink(String),
    /// No exec session has this identifier.
    #[error("No such exec instance: {0}")]
    NoSuchExec(String),
    /// The prefix fits several containers.
    #[error("multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// The name belongs to another container.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameTaken {
        /// The wanted name.
        name: String,
        /// Its holder.
        id: String,
    },
    /// The request itself is wrong.
    #[error("{0}")]
    Invalid(String),
    /// The container's state forbids the act.
    #[error("{0}")]
    Conflict(String),
    /// The container is not running.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// The container is paused.
    #[error("container {0} is paused, unpause the container before {1}")]
    Paused(String, &'static str),
    /// Already in the wanted state.
    #[error("container {0} is already {1}")]
    Already(String, &'static str),
    /// The process could not be started; the text is what users know from Docker.
    #[error("failed to create task for container: {message}")]
    Start {
        /// What failed, with the name of the init step.
        message: String,
        /// 127 command not found, 126 not executable, 125 anything else.
        exit_code: i64,
    },
    /// A path inside a container does not exist.
    #[error("Could not find the file {path} in container {container}")]
    NoSuchPath {
        /// The path asked for.
        path: String,
        /// The container's name.
        container: String,
    },
    /// A file or directory of the engine could not be used.
    #[error("cannot {act} {path}")]
    File {
        /// The failed act.
        act: &'static str,
        /// On which path.
        path: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// A step of the engine failed below.
    #[error("cannot {act} of container {id}")]
    Step {
        /// The failed act.
        act: &'static str,
        /// Which container.
        id: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// Its category.
        kind: Kind,
    },
    /// A container record.
    #[error(transparent)]
    Record(#[from] berth_record::Error),
    /// The image noun.
    #[error(transparent)]
    Image(#[from] berth_image::Error),
    /// The network noun.
    #[error("failed to set up container networking: {0}")]
    Network(#[source] berth_network::Error),
    /// The network noun, about a connection that a user asked for.
    #[error(transparent)]
    Unconnected(berth_network::Error),
    /// The resolver of names on networks.
    #[error(transparent)]
    Names(berth_dns::Error),
    /// The volume noun.
    #[error(transparent)]
    Volume(#[from] berth_volume::Error),
    /// The snapshot store.
    #[error(transparent)]
    Snapshot(#[from] berth_snapshot::Error),
    /// Devices that vendors describe.
    #[error(transparent)]
    Devices(berth_cdi::Error),
    /// Logs.
    #[error(transparent)]
    Log(#[from] berth_log::Error),
    /// The supervisor.
    #[error(transparent)]
    Supervisor(#[from] berth_supervisor::Error),
    /// The archive of a copy, export or commit.
    #[error(transparent)]
    Archive(#[from] berth_archive::Error),
    /// A part that belongs to a later version.
    #[error("{0} is not built yet")]
    NotBuilt(&'static str),
}

/// Result of an act on containers.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failed step `act` on container `id`, with the category of its cause.
    pub(crate) fn step<E>(act: &'static str, id: &str, source: E) -> Self
    where
        E: Kinded + Send + Sync + 'static,
    {
        let kind = source.kind();
        Self::Step { act, id: id.to_owned(), source: Box::new(source), kind }
    }

    /// A failed act on a file of the engine.
    pub(crate) fn file(act: &'static str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::File { act, path: path.display().to_string(), source }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NoSuchContainer(_) | Self::NoSuchLink(_) | Self::NoSuchExec(_) | Self::NoSuchPath { .. } => {
                Kind::NotFound
            }
            Self::Ambiguous(_) | Self::Invalid(_) => Kind::Invalid,
            Self::NameTaken { .. } | Self::Conflict(_) | Self::NotRunning(_) | Self::Paused(..) => Kind::Conflict,
            Self::Already(..) => Kind::NotModified,
            Self::Start { exit_code, .. } if *exit_code != 125 => Kind::Invalid,
            Self::Start { .. } => Kind::Internal,
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => Kind::Unavailable,
            Self::File { .. } => Kind::Internal,
            Self::Step { kind, .. } => *kind,
            Self::Record(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::Network(error) | Self::Unconnected(error) => error.kind(),
            // Were it "not found", clients would take a container's image for what is missing, and pull it.
            Self::Volume(berth_volume::Error::NoSuchDriver { .. }) => Kind::Invalid,
            Self::Names(error) => error.kind(),
            Self::Volume(error) => error.kind(),
            Self::Snapshot(error) => error.kind(),
            Self::Devices(error) => error.kind(),
            Self::Log(error) => error.kind(),
            Self::Supervisor(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::NotBuilt(_) => Kind::NotBuilt,
        }
    }
}
