//! What the daemon's configuration says about containers.

use std::{collections::HashMap, path::PathBuf};

use berth_spec::model::ResourcesUlimits;

/// Settings of the container noun.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where state that survives a reboot lives.
    pub data_root: PathBuf,
    /// Where state of running containers lives.
    pub runtime_root: PathBuf,
    /// The binary that supervisors are started from.
    pub exe: PathBuf,
    /// Log driver and options of containers that name none.
    pub log: LogDefault,
    /// Ulimits of containers that do not set the same ones.
    pub ulimits: Vec<ResourcesUlimits>,
    /// Parent of the containers' cgroups, absolute from the hierarchy's root.
    pub cgroup_parent: String,
    /// Cgroups are scopes that systemd makes, and the parent is a slice.
    pub systemd_cgroup: bool,
    /// Size of /dev/shm, in bytes.
    pub shm_bytes: u64,
    /// Whether containers that do not say get an init process.
    pub init: bool,
    /// Whether containers that do not say get no_new_privs.
    pub no_new_privileges: bool,
    /// Path of a seccomp profile that replaces the built-in one.
    pub seccomp_profile: Option<PathBuf>,
    /// Seconds between the stop signal and SIGKILL for containers that do not say.
    pub stop_timeout_s: i64,
    /// Resolvers of containers that name none; empty: the host's.
    pub dns: Vec<String>,
    /// Directories of vendors' descriptions of devices (CDI), of which a later one wins.
    pub cdi_dirs: Vec<PathBuf>,
    /// Resolver options of containers that name none.
    pub dns_options: Vec<String>,
    /// Search domains of containers that name none.
    pub dns_search: Vec<String>,
}

/// The default log driver.
#[derive(Debug, Clone)]
pub struct LogDefault {
    /// `json-file`, `local`, …
    pub driver: String,
    /// The driver's options.
    pub options: HashMap<String, String>,
}

impl Config {
    /// Directory of a container's lasting files.
    pub(crate) fn container_dir(&self, id: &str) -> PathBuf {
        self.data_root.join("containers").join(id)
    }

    /// Directory of a running container's bundle.
    pub(crate) fn bundle_dir(&self, id: &str) -> PathBuf {
        self.runtime_root.join("containers").join(id)
    }
}
