//! What is kept of a container, on disk and in memory.

use std::collections::BTreeMap;

use berth_kit::time::Timestamp;
use berth_spec::model;
use serde::{Deserialize, Serialize};

use crate::id_range::IdRange;

/// Name of the record table.
pub const TABLE: &str = "container";
/// Version of [`Record`]'s form.
pub const VERSION: u32 = 1;

/// Everything about one container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`].
    pub version: u32,
    /// Full identifier.
    pub id: String,
    /// Without the leading slash that Docker shows.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// Identifier of the image, `sha256:…`.
    pub image_id: String,
    /// The image as the user named it.
    pub image_ref: String,
    /// Portable settings, merged with the image's.
    pub config: model::ContainerConfig,
    /// Settings that depend on the host.
    pub host: model::HostConfig,
    /// Networks as asked for at creation.
    #[serde(default)]
    pub endpoints: BTreeMap<String, model::EndpointSettings>,
    /// What is mounted where.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Where it stands in its life.
    pub state: State,
    /// Starts by restart policy since the last start by a user.
    #[serde(default)]
    pub restart_count: i64,
    /// A user stopped it: `unless-stopped` and `always` do not start it again until a user does.
    #[serde(default)]
    pub stopped_by_user: bool,
    /// Ports in the kernel now.
    #[serde(default)]
    pub network: Attachment,
}

/// Where a container stands in its life.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    /// The node of the state machine.
    pub status: Status,
    /// Process id of its first process as the host sees it, 0 when it does not run.
    #[serde(default)]
    pub pid: u32,
    /// Exit code of the last run.
    #[serde(default)]
    pub exit_code: i64,
    /// Why the last start failed.
    #[serde(default)]
    pub error: String,
    /// The kernel killed it for memory in the last run.
    #[serde(default)]
    pub oom_killed: bool,
    /// Start of the last run.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// End of the last run.
    #[serde(default)]
    pub finished_at: Option<Timestamp>,
    /// User and group ids of this run.
    #[serde(default)]
    pub id_range: Option<IdRange>,
}

/// A node of the state machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Never started.
    #[default]
    Created,
    /// Its first process runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// It exited and its policy will start it again.
    Restarting,
    /// It is being removed.
    Removing,
    /// Its first process ended.
    Exited,
    /// It could not be removed.
    Dead,
}

impl Status {
    /// Docker's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether its processes exist.
    #[must_use]
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// One mount of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What kind of thing is mounted.
    pub kind: MountKind,
    /// Volume name, or empty.
    #[serde(default)]
    pub name: String,
    /// Host path; empty for tmpfs.
    #[serde(default)]
    pub source: String,
    /// Clean absolute path in the container.
    pub destination: String,
    /// Volume driver, or empty.
    #[serde(default)]
    pub driver: String,
    /// Options as the user wrote them: `ro,z`.
    #[serde(default)]
    pub mode: String,
    /// Writable.
    pub writable: bool,
    /// `rprivate`, `rslave`, …
    #[serde(default)]
    pub propagation: String,
    /// Made for this container and removed with it.
    #[serde(default)]
    pub anonymous: bool,
    /// Do not fill an empty volume from the image.
    #[serde(default)]
    pub no_copy: bool,
    /// Path inside the volume or image.
    #[serde(default)]
    pub subpath: String,
    /// Mount only this tree, not the mounts below it.
    #[serde(default)]
    pub non_recursive: bool,
    /// Read-only, but the mounts below it as they are.
    #[serde(default)]
    pub read_only_top: bool,
    /// Make a missing host directory.
    #[serde(default)]
    pub create_source: bool,
    /// Further tmpfs options: `size=64m`, `mode=1777`.
    #[serde(default)]
    pub tmpfs_options: Vec<String>,
    /// From `Mounts`, not `Binds`; shown again in HostConfig only.
    #[serde(default)]
    pub from_image: bool,
    /// Key of the snapshot that holds an image's layers for this mount.
    #[serde(default)]
    pub snapshot: String,
}

/// What kind of thing a mount shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A host path.
    Bind,
    /// A volume.
    Volume,
    /// A new tmpfs.
    Tmpfs,
    /// The files of an image.
    Image,
}

impl MountKind {
    /// Docker's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Volume => "volume",
            Self::Tmpfs => "tmpfs",
            Self::Image => "image",
        }
    }
}

/// What the network gave to a running container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Attachment {
    /// Network name → endpoint as shown by inspect.
    #[serde(default)]
    pub networks: BTreeMap<String, model::EndpointSettings>,
    /// `80/tcp` → host bindings.
    #[serde(default)]
    pub ports: BTreeMap<String, Vec<Binding>>,
}

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// Host address.
    pub host_ip: String,
    /// Host port.
    pub host_port: u16,
}

impl Record {
    /// Whether it is removed when it exits.
    #[must_use]
    pub fn auto_remove(&self) -> bool {
        self.host.auto_remove.unwrap_or(false)
    }

    /// Whether it has a terminal.
    #[must_use]
    pub fn tty(&self) -> bool {
        self.config.tty.unwrap_or(false)
    }

    /// The program of the first process.
    #[must_use]
    pub fn command(&self) -> Vec<String> {
        let parts = [self.config.entrypoint.as_deref(), self.config.cmd.as_deref()];
        parts.into_iter().flatten().flatten().cloned().collect()
    }

    /// The network mode with its default spelled out.
    #[must_use]
    pub fn network_mode(&self) -> &str {
        match self.host.network_mode.as_deref() {
            None | Some("" | "default") => "bridge",
            Some(mode) => mode,
        }
    }
}
