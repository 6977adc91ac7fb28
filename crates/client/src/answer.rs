//! Answers of the daemon, read leniently: what an older daemon leaves out or sends as null is empty.

use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// Reads null as the default.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

macro_rules! answer {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $wire:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$field_doc])* #[serde(rename = $wire, deserialize_with = "or_default")] pub $field: $kind,)*
        }
    };
}

answer! {
    /// Answer of POST /containers/create and /commit.
    Created {
        /// Full identifier.
        id: String = "Id",
        /// Things the daemon did not do as asked.
        warnings: Vec<String> = "Warnings",
    }
}
answer! {
    /// Answer of POST /containers/{id}/wait.
    Waited {
        /// Exit code.
        code: i64 = "StatusCode",
        /// Why waiting failed.
        error: Option<WaitError> = "Error",
    }
}
answer! {
    /// Failure inside [`Waited`].
    WaitError {
        /// The daemon's text.
        message: String = "Message",
    }
}
answer! {
    /// A row of GET /containers/json.
    Container {
        /// Full identifier.
        id: String = "Id",
        /// Names, each with a leading slash.
        names: Vec<String> = "Names",
        /// Image as named at creation.
        image: String = "Image",
        /// Identifier of the image.
        image_id: String = "ImageID",
        /// Command line.
        command: String = "Command",
        /// Creation in Unix seconds.
        created: i64 = "Created",
        /// Published and exposed ports.
        ports: Vec<Port> = "Ports",
        /// Bytes of the writable layer.
        size_rw: i64 = "SizeRw",
        /// Bytes of all layers.
        size_root_fs: i64 = "SizeRootFs",
        /// Labels.
        labels: BTreeMap<String, String> = "Labels",
        /// `running`, `exited`, ...
        state: String = "State",
        /// `Up 5 seconds`, ...
        status: String = "Status",
        /// Networks by name.
        network: Networks = "NetworkSettings",
        /// Mounts.
        mounts: Vec<Mount> = "Mounts",
    }
}
answer! {
    /// A port of a container.
    Port {
        /// Host address, empty when not published.
        ip: String = "IP",
        /// Port in the container.
        private: u16 = "PrivatePort",
        /// Port of the host, 0 when not published.
        public: u16 = "PublicPort",
        /// `tcp`, `udp` or `sctp`.
        protocol: String = "Type",
    }
}
answer! {
    /// Networks of a container.
    Networks {
        /// By name.
        networks: BTreeMap<String, serde_json::Value> = "Networks",
    }
}
answer! {
    /// A mount of a container.
    Mount {
        /// Volume name.
        name: String = "Name",
        /// Host path.
        source: String = "Source",
        /// Volume driver; `local` is a local volume.
        driver: String = "Driver",
        /// `bind`, `volume`, `tmpfs`.
        kind: String = "Type",
    }
}
answer! {
    /// A row of GET /images/json.
    Image {
        /// Digest of the image's configuration.
        id: String = "Id",
        /// Digest of the parent.
        parent: String = "ParentId",
        /// Names with tags.
        tags: Vec<String> = "RepoTags",
        /// Names with digests.
        digests: Vec<String> = "RepoDigests",
        /// Creation in Unix seconds.
        created: i64 = "Created",
        /// Bytes of all layers.
        size: i64 = "Size",
        /// Bytes shared with other images, -1 when not counted.
        shared_size: i64 = "SharedSize",
        /// Containers that use it, -1 when not counted.
        containers: i64 = "Containers",
        /// Labels.
        labels: BTreeMap<String, String> = "Labels",
    }
}
answer! {
    /// A row of GET /images/{name}/history.
    History {
        /// Digest, or `<missing>`.
        id: String = "Id",
        /// Creation in Unix seconds.
        created: i64 = "Created",
        /// The command that made the layer.
        created_by: String = "CreatedBy",
        /// Names.
        tags: Vec<String> = "Tags",
        /// Bytes of the layer.
        size: i64 = "Size",
        /// Comment.
        comment: String = "Comment",
    }
}
answer! {
    /// A row of DELETE /images/{name}: one of both.
    Deleted {
        /// A name that was removed.
        untagged: String = "Untagged",
        /// An image that was removed.
        deleted: String = "Deleted",
    }
}
answer! {
    /// A row of GET /networks.
    Network {
        /// Full identifier.
        id: String = "Id",
        /// Name.
        name: String = "Name",
        /// Driver.
        driver: String = "Driver",
        /// Where it reaches.
        scope: String = "Scope",
        /// Whether its containers have IPv4 addresses.
        ipv4: bool = "EnableIPv4",
        /// Whether its containers have IPv6 addresses.
        ipv6: bool = "EnableIPv6",
        /// No way out and no way in.
        internal: bool = "Internal",
        /// When it was made.
        created: String = "Created",
        /// Labels.
        labels: BTreeMap<String, String> = "Labels",
    }
}
answer! {
    /// A volume, as every answer about one has it.
    Volume {
        /// Name.
        name: String = "Name",
        /// Driver.
        driver: String = "Driver",
        /// Where its files lie on the daemon's host.
        mountpoint: String = "Mountpoint",
        /// Where it reaches.
        scope: String = "Scope",
        /// Labels.
        labels: BTreeMap<String, String> = "Labels",
        /// How much it holds, and for how many; only in answers about disk usage.
        usage: Option<VolumeUsage> = "UsageData",
    }
}
answer! {
    /// Usage of a [`Volume`].
    VolumeUsage {
        /// Containers that have it.
        containers: i64 = "RefCount",
        /// Bytes; -1 when not known.
        size_bytes: i64 = "Size",
    }
}
answer! {
    /// Answer of GET /volumes.
    Volumes {
        /// All of them.
        volumes: Vec<Volume> = "Volumes",
        /// Drivers that did not answer.
        warnings: Vec<String> = "Warnings",
    }
}
answer! {
    /// Answer of POST /containers/prune and /images/prune.
    Pruned {
        /// Containers removed.
        containers: Vec<String> = "ContainersDeleted",
        /// Images removed or untagged.
        images: Vec<Deleted> = "ImagesDeleted",
        /// Volumes removed.
        volumes: Vec<String> = "VolumesDeleted",
        /// Networks removed.
        networks: Vec<String> = "NetworksDeleted",
        /// Bytes given back.
        space_bytes: u64 = "SpaceReclaimed",
    }
}
answer! {
    /// A row of GET /containers/{id}/changes.
    Change {
        /// 0 modified, 1 added, 2 deleted.
        kind: u8 = "Kind",
        /// Path in the container.
        path: String = "Path",
    }
}
answer! {
    /// Answer of GET /containers/{id}/top.
    Top {
        /// Column heads of ps.
        titles: Vec<String> = "Titles",
        /// Rows.
        processes: Vec<Vec<String>> = "Processes",
    }
}
answer! {
    /// Answer of GET /exec/{id}/json.
    ExecState {
        /// Whether it still runs.
        running: bool = "Running",
        /// Exit code.
        code: Option<i64> = "ExitCode",
        /// Process id on the host.
        pid: i64 = "Pid",
    }
}
answer! {
    /// What `attach`, `start` and `exec` need of GET /containers/{id}/json.
    Brief {
        /// Full identifier.
        id: String = "Id",
        /// Configuration.
        config: BriefConfig = "Config",
        /// State.
        state: BriefState = "State",
        /// Host settings.
        host: BriefHost = "HostConfig",
    }
}
answer! {
    /// Part of [`Brief`].
    BriefConfig {
        /// Whether it has a terminal.
        tty: bool = "Tty",
        /// Whether its input is open.
        open_stdin: bool = "OpenStdin",
    }
}
answer! {
    /// Part of [`Brief`].
    BriefState {
        /// Running.
        running: bool = "Running",
        /// Paused.
        paused: bool = "Paused",
        /// Restarting.
        restarting: bool = "Restarting",
        /// Exit code of the last run.
        exit_code: i64 = "ExitCode",
        /// `created`, `running`, ...
        status: String = "Status",
    }
}
answer! {
    /// Part of [`Brief`].
    BriefHost {
        /// Removed at its end.
        auto_remove: bool = "AutoRemove",
    }
}
answer! {
    /// The `X-Docker-Container-Path-Stat` header.
    PathStat {
        /// Base name.
        name: String = "name",
        /// Bytes.
        size: i64 = "size",
        /// Go's `FileMode` bits: 1<<31 directory, 1<<27 symbolic link.
        mode: u32 = "mode",
        /// Target of a symbolic link, absolute in the container.
        link_target: String = "linkTarget",
    }
}

impl PathStat {
    /// Whether it is a directory.
    #[must_use]
    pub fn is_dir(&self) -> bool {
        self.mode & (1 << 31) != 0
    }

    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_symlink(&self) -> bool {
        self.mode & (1 << 27) != 0
    }
}
