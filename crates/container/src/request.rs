//! What callers ask of containers, and what they are told.

use std::collections::BTreeMap;

use berth_kit::time::Timestamp;
use berth_spec::model;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes that arrive over time.
pub type ByteStream = BoxStream<'static, std::io::Result<Bytes>>;
/// A connection to a container's standard streams, in Docker's wire form.
pub type Duplex = Box<dyn Connection>;

/// A byte stream in both directions.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Filters of a list or prune; the values of a key are alternatives, keys must all match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters(pub BTreeMap<String, Vec<String>>);

impl Filters {
    /// The values of `key`, empty when it is absent.
    #[must_use]
    pub fn get(&self, key: &str) -> &[String] {
        self.0.get(key).map_or(&[], Vec::as_slice)
    }
}

/// A container to create.
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    /// Its name; a random one otherwise.
    pub name: Option<String>,
    /// `os/architecture[/variant]` the image must have.
    pub platform: Option<String>,
    /// Portable settings.
    pub config: model::ContainerConfig,
    /// Settings that depend on the host.
    pub host: model::HostConfig,
    /// Networks and addresses.
    pub networking: Option<model::NetworkingConfig>,
}

/// A created container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Its full identifier.
    pub id: String,
    /// Requests that could not be honoured.
    pub warnings: Vec<String>,
}

/// How to start.
#[derive(Debug, Clone, Default)]
pub struct StartRequest {
    /// A checkpoint to start from.
    pub checkpoint: Option<String>,
    /// Where checkpoints are.
    pub checkpoint_dir: Option<String>,
}

/// How to stop.
#[derive(Debug, Clone, Default)]
pub struct StopRequest {
    /// Signal name or number; the container's own otherwise.
    pub signal: Option<String>,
    /// Seconds until SIGKILL, -1 for never; the container's own otherwise.
    pub timeout_s: Option<i64>,
}

/// How to remove.
#[derive(Debug, Clone, Copy, Default)]
pub struct RemoveRequest {
    /// Kill it first if it runs.
    pub force: bool,
    /// Remove its anonymous volumes too.
    pub volumes: bool,
    /// Remove a legacy link instead.
    pub link: bool,
}

/// What was pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Identifiers of removed containers.
    pub deleted: Vec<String>,
    /// Bytes that became free.
    pub space_bytes: u64,
}

/// Which containers to list.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Stopped ones too.
    pub all: bool,
    /// At most so many, newest first, stopped ones too.
    pub limit: Option<usize>,
    /// Measure their layers.
    pub size: bool,
    /// Only those that match.
    pub filters: Filters,
}

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitCondition {
    /// Until it does not run; at once if so now.
    #[default]
    NotRunning,
    /// Until it exits the next time.
    NextExit,
    /// Until it is removed.
    Removed,
}

/// How a wait ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitOutcome {
    /// Exit code.
    pub code: i64,
    /// Why it could not be had.
    pub error: Option<String>,
}

/// The processes of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Top {
    /// Column titles.
    pub titles: Vec<String>,
    /// One row a process.
    pub processes: Vec<Vec<String>>,
}

/// Which log lines to read.
#[derive(Debug, Clone, Default)]
pub struct LogsRequest {
    /// Go on with lines to come.
    pub follow: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
    /// Put the time before each line.
    pub timestamps: bool,
    /// Put the logged attributes before each line.
    pub details: bool,
    /// Only the last so many lines.
    pub tail: Option<usize>,
}

/// Log lines.
pub struct Logs {
    /// Raw bytes instead of frames.
    pub tty: bool,
    /// The lines.
    pub stream: ByteStream,
}

/// A path that differs from the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Absolute path.
    pub path: String,
    /// 0 modified, 1 added, 2 deleted.
    pub kind: u8,
}

/// Which streams to attach to.
#[derive(Debug, Clone, Default)]
pub struct AttachRequest {
    /// Send standard input.
    pub stdin: bool,
    /// Receive standard output.
    pub stdout: bool,
    /// Receive standard error.
    pub stderr: bool,
    /// Connect to the live streams.
    pub stream: bool,
    /// Send what was logged before.
    pub logs: bool,
    /// Keys that detach; `ctrl-p,ctrl-q` otherwise.
    pub detach_keys: Option<String>,
}

/// A connection to a container.
pub struct Attached {
    /// What was logged before.
    pub replay: Option<ByteStream>,
    /// The live streams.
    pub stream: Option<Duplex>,
    /// Raw bytes instead of frames.
    pub tty: bool,
}

/// How to unpack an archive into a container.
#[derive(Debug, Clone, Copy, Default)]
pub struct PutRequest {
    /// Refuse to replace a directory by something else and the reverse.
    pub no_overwrite_dir_non_dir: bool,
    /// Give everything to the user that the container has; without one, the archive's owners stay as ever.
    pub copy_uid_gid: bool,
}

/// How to start an exec session.
#[derive(Debug, Clone, Default)]
pub struct ExecStartRequest {
    /// Do not connect.
    pub detach: bool,
    /// The caller expects raw bytes.
    pub tty: bool,
    /// Rows and columns of its terminal.
    pub size: Option<(u16, u16)>,
}

/// A started exec session.
pub enum ExecStarted {
    /// It runs on its own.
    Detached,
    /// Its streams.
    Attached {
        /// The connection.
        stream: Duplex,
        /// Raw bytes instead of frames.
        tty: bool,
    },
}

/// An image to make from a container.
#[derive(Debug, Clone, Default)]
pub struct CommitRequest {
    /// Name or identifier.
    pub container: String,
    /// Repository of the new image.
    pub repo: Option<String>,
    /// Tag of the new image.
    pub tag: Option<String>,
    /// Message.
    pub comment: Option<String>,
    /// Who.
    pub author: Option<String>,
    /// Pause the container while its layer is read.
    pub pause: bool,
    /// Dockerfile instructions to apply.
    pub changes: Vec<String>,
    /// Settings that replace the container's.
    pub config: Option<model::ContainerConfig>,
}

/// How many containers are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub total: usize,
    /// Running, paused ones too.
    pub running: usize,
    /// Paused.
    pub paused: usize,
    /// The rest.
    pub stopped: usize,
}
