//! What is on disk: the definition of a machine, which people read and edit, and what became of its last run.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// The version of [`Definition`] that this program writes.
pub const VERSION: u32 = 1;

/// What a machine is: `machine.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Version of this document.
    #[serde(default = "current")]
    pub version: u32,
    /// Its name; the directory has the same.
    #[serde(default)]
    pub name: String,
    /// Made when it is created; the guest sees it in its firmware's tables.
    #[serde(default)]
    pub uuid: String,
    /// Processors.
    #[serde(default = "one")]
    pub vcpus: u32,
    /// Memory in bytes.
    #[serde(default = "memory")]
    pub memory_bytes: u64,
    /// How much of it the balloon leaves to the guest, in bytes; all of it without a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balloon_bytes: Option<u64>,
    /// Model of the processor: `host`, `max`, or a name that QEMU knows, with features behind it (`EPYC,+svm,-avx2`).
    #[serde(default = "cpu")]
    pub cpu: String,
    /// Started with the daemon.
    #[serde(default)]
    pub autostart: bool,
    /// A display adapter, for firmware and boot loaders that want one.
    #[serde(default)]
    pub video: Video,
    /// Devices of the host that are passed through, by their PCI address (`0000:01:00.0`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pci: Vec<String>,
    /// How it boots.
    #[serde(default)]
    pub boot: Boot,
    /// Disks and CD-ROMs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<Disk>,
    /// Network devices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<Nic>,
    /// What cloud-init finds in the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_init: Option<CloudInit>,
}

/// How a machine boots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boot {
    /// A kernel that is loaded directly, past the firmware: a path, or the name of a file of the machine's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The initramfs beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initramfs: Option<String>,
    /// The kernel's command line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command_line: String,
    /// What the firmware looks at, first things first; disks, then CD-ROMs without a value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<BootDevice>,
}

/// What a firmware boots from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BootDevice {
    /// The first disk.
    Disk,
    /// The first CD-ROM.
    Cdrom,
    /// The first network device.
    Network,
}

/// A display adapter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Video {
    /// None: the console is the serial port.
    #[default]
    None,
    /// A standard VGA adapter, which nothing shows.
    Std,
}

/// A disk or CD-ROM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Its name, unique in the machine; the guest sees it as the serial number.
    pub name: String,
    /// A path of the host, or the name of a file of the machine's own.
    pub source: String,
    /// What is in the file.
    #[serde(default)]
    pub format: Format,
    /// Disk or CD-ROM.
    #[serde(default, skip_serializing_if = "is_default")]
    pub device: Device,
    /// What it is attached to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bus: Bus,
    /// The guest only reads it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// A qcow2 file may name other files that it needs (backing and data files).
    #[serde(default, skip_serializing_if = "is_default")]
    pub allow_backing: bool,
}

/// The format of a disk's file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The bytes of the disk.
    #[default]
    Raw,
    /// QEMU's own.
    Qcow2,
}

/// What kind of drive it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Device {
    /// A disk.
    #[default]
    Disk,
    /// A CD-ROM, always read-only.
    Cdrom,
}

/// What a drive is attached to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bus {
    /// virtio-blk.
    #[default]
    Virtio,
    /// AHCI, for guests without virtio; CD-ROMs are always there.
    Sata,
}

/// A network device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// The engine's network that it is joined to; empty in user mode.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub network: String,
    /// QEMU speaks for the guest by sockets of its own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub user: bool,
    /// Its hardware address; made when the machine is created.
    #[serde(default)]
    pub mac: String,
    /// Its address on the network; the lowest free one without a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv4: Option<Ipv4Addr>,
    /// Ports of the host that lead to it: `[ADDRESS:]PORT:PORT[/udp]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// What the guest sees.
    #[serde(default, skip_serializing_if = "is_default")]
    pub model: NicModel,
}

/// What a guest sees of a network device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NicModel {
    /// virtio-net.
    #[default]
    Virtio,
    /// Intel 82574L, for guests without virtio.
    E1000e,
}

/// What cloud-init finds (cloudinit.readthedocs.io, "NoCloud").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudInit {
    /// `user-data`.
    #[serde(default)]
    pub user_data: String,
    /// `meta-data`; made from the machine's uuid and name without a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta_data: Option<String>,
    /// `network-config`; made from the machine's networks without a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_config: Option<String>,
}

/// How a run ended: `exit.json`, written by the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Version of this record.
    pub version: u32,
    /// When, in nanoseconds of Unix time.
    pub at_ns: i64,
    /// The monitor's exit code, or 128 and its signal.
    pub code: i32,
    /// Why, in a word: `guest-shutdown`, `host-quit`, `killed`, `lost`, or what the monitor said.
    pub reason: String,
    /// The monitor's last words, where it ended badly.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
}

/// What the daemon has to know of a run after it was killed itself: `run.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Version of this record.
    pub version: u32,
    /// First of the monitor's user ids on the host.
    pub ids_base: u32,
    /// When it was started, in nanoseconds of Unix time.
    pub started_ns: i64,
}

/// What a snapshot is: `snapshot.toml` in its directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Version of this record.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// When it was taken, in nanoseconds of Unix time.
    pub taken_ns: i64,
    /// It has the memory and devices of a running machine.
    pub live: bool,
    /// The machine as it was then.
    pub definition: Definition,
}

fn current() -> u32 {
    VERSION
}

fn one() -> u32 {
    1
}

fn memory() -> u64 {
    1 << 30
}

fn cpu() -> String {
    "max".to_owned()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
