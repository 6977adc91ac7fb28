//! What handlers work on.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use berth_build::Builder;
use berth_container::Containers;
use berth_event::Bus;
use berth_image::Images;
use berth_machine::Machines;
use berth_network::Networks;
use berth_spec::model;
use berth_volume::Volumes;

/// The nouns, and what is known of daemon and host.
pub struct Engine {
    /// Containers.
    pub containers: Containers,
    /// Images.
    pub images: Images,
    /// Machines of their own.
    pub machines: Machines,
    /// Networks.
    pub networks: Networks,
    /// Volumes.
    pub volumes: Volumes,
    /// Builds.
    pub builder: Builder,
    /// Events.
    pub events: Bus,
    /// What does not change while the daemon runs.
    pub facts: Facts,
    /// What a reload may change.
    pub settings: RwLock<Arc<Settings>>,
}

impl Engine {
    /// The settings as they are now.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the settings.
    pub fn reload(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }
}

/// What does not change while the daemon runs.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Layers and volumes are shown with other owners by the kernel, not changed on disk.
    pub maps_ids: bool,
    /// Containers have no control groups.
    pub no_cgroups: bool,
    /// Identifier of this installation.
    pub id: String,
    /// `0.1.0`.
    pub version: String,
    /// Commit the binary was built from, short.
    pub commit: String,
    /// When it was built, RFC 3339.
    pub built_at: String,
    /// Version of the compiler.
    pub compiler: String,
    /// `6.1.0-13-amd64`.
    pub kernel: String,
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub operating_system: String,
    /// `12`.
    pub os_version: String,
    /// As `uname -m`: `x86_64`.
    pub architecture: String,
    /// Go's name of it: `amd64`.
    pub go_architecture: String,
    /// Host name.
    pub hostname: String,
    /// Usable processors.
    pub cpus: i64,
    /// Memory in bytes.
    pub memory_bytes: i64,
    /// `1` or `2`.
    pub cgroup_version: u8,
    /// systemd makes the containers' cgroups.
    pub systemd_cgroup: bool,
    /// Which controllers the kernel offers: `memory`, `cpu`, `cpuset`, `pids`, `blkio`.
    pub controllers: Vec<String>,
    /// Whether memory.memsw or memory.swap can be limited.
    pub swap_limit: bool,
    /// Where lasting state lives.
    pub data_root: String,
    /// Name of the snapshotter.
    pub storage_driver: String,
    /// File system under the data root.
    pub backing_filesystem: String,
    /// Names of log drivers.
    pub log_drivers: Vec<String>,
    /// The default one.
    pub log_driver: String,
    /// `name=seccomp,profile=builtin`, …
    pub security_options: Vec<String>,
    /// Address pools of new networks.
    pub address_pools: Vec<model::SystemInfoDefaultAddressPools>,
    /// What the daemon could not do as configured.
    pub warnings: Vec<String>,
}

/// What a reload may change.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Debug mode.
    pub debug: bool,
    /// Experimental operations are on.
    pub experimental: bool,
    /// `key=value`.
    pub labels: Vec<String>,
    /// Containers outlive a stop of the daemon.
    pub live_restore: bool,
    /// Registries asked first.
    pub registry_mirrors: Vec<String>,
    /// Registries that may be spoken to without TLS.
    pub insecure_registries: Vec<String>,
    /// Proxies for registries: `http`, `https`, `no`.
    pub proxies: HashMap<&'static str, String>,
    /// Hosts that may give tokens for any registry.
    pub token_servers: Vec<String>,
    /// Connections for the blobs of one pull, 0 for the default.
    pub downloads: usize,
    /// Layers sent at a time by one push, 0 for the default.
    pub uploads: usize,
}
