//! The files of vendors, as the CDI specification 1.1 has them ("CDI JSON Specification"). Unknown fields are refused, as it demands.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// The version of the specification that the file follows.
    pub cdi_version: String,
    /// `vendor.com/class`.
    pub kind: String,
    /// For people and tools.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// What there is of this kind.
    pub devices: Vec<Device>,
    /// Made once when any of the devices is asked for.
    #[serde(default)]
    pub container_edits: ContainerEdits,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Device {
    /// Unique in its file.
    pub name: String,
    /// For people and tools.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Made when this device is asked for.
    pub container_edits: ContainerEdits,
}

/// Edits of a container's specification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerEdits {
    /// `NAME=value`.
    #[serde(default)]
    pub env: Vec<String>,
    /// Device nodes, with the right to use them.
    #[serde(default)]
    pub device_nodes: Vec<DeviceNode>,
    /// Programs of the host's, run at points of the container's life.
    #[serde(default)]
    pub hooks: Vec<Hook>,
    /// Mounts.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// A share of the processor's cache and memory bandwidth.
    #[serde(default)]
    pub intel_rdt: Option<IntelRdt>,
    /// Supplementary groups of the process.
    #[serde(default)]
    pub additional_gids: Vec<u32>,
    /// Network interfaces that move into the container.
    #[serde(default)]
    pub net_devices: Vec<NetDevice>,
}

/// A device node.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceNode {
    /// In the container.
    pub path: String,
    /// On the host, where that differs.
    #[serde(default)]
    pub host_path: Option<String>,
    /// `b`, `c`, `u` or `p`; else the host's node tells.
    #[serde(default)]
    pub r#type: Option<String>,
    /// Major number; 0 or none: the host's node tells.
    #[serde(default)]
    pub major: Option<i64>,
    /// Minor number.
    #[serde(default)]
    pub minor: Option<i64>,
    /// Permission bits; else the host's node's.
    #[serde(default)]
    pub file_mode: Option<u32>,
    /// Of `rwm`; else all.
    #[serde(default)]
    pub permissions: Option<String>,
    /// Owner in the container.
    #[serde(default)]
    pub uid: Option<u32>,
    /// Group in the container.
    #[serde(default)]
    pub gid: Option<u32>,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    /// On the host.
    pub host_path: String,
    /// In the container.
    pub container_path: String,
    /// As in a runtime specification.
    #[serde(default)]
    pub options: Vec<String>,
    /// A file system's name; else a bind mount.
    #[serde(default)]
    pub r#type: Option<String>,
}

/// A program that is run at a point of the container's life.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hook {
    /// The point.
    pub hook_name: HookName,
    /// The program, absolute.
    pub path: String,
    /// Its arguments, its own name first.
    #[serde(default)]
    pub args: Vec<String>,
    /// Its environment.
    #[serde(default)]
    pub env: Vec<String>,
    /// Seconds after which it is given up.
    #[serde(default)]
    pub timeout: Option<u32>,
}

/// The points of the runtime specification 1.3 ("POSIX-platform Hooks").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum HookName {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl HookName {
    /// The key of a runtime specification.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prestart => "prestart",
            Self::CreateRuntime => "createRuntime",
            Self::CreateContainer => "createContainer",
            Self::StartContainer => "startContainer",
            Self::Poststart => "poststart",
            Self::Poststop => "poststop",
        }
    }
}

/// As `linux.intelRdt` of a runtime specification.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IntelRdt {
    /// The class.
    #[serde(default, rename = "closID")]
    pub clos_id: Option<String>,
    /// Cache.
    #[serde(default)]
    pub l3_cache_schema: Option<String>,
    /// Memory bandwidth.
    #[serde(default)]
    pub mem_bw_schema: Option<String>,
    /// Lines of the schemata file.
    #[serde(default)]
    pub schemata: Vec<String>,
    /// A monitoring group.
    #[serde(default)]
    pub enable_monitoring: bool,
    /// Until version 1.0.
    #[serde(default, rename = "enableCMT")]
    pub enable_cmt: bool,
    /// Until version 1.0.
    #[serde(default, rename = "enableMBM")]
    pub enable_mbm: bool,
}

/// A network interface of the host's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetDevice {
    /// On the host.
    pub host_interface_name: String,
    /// In the container.
    pub name: String,
}
