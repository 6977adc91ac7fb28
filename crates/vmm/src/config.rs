//! What a machine is made of: a JSON document. Unknown members are refused, and so is what no machine can have.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result, layout};

/// The longest document that is read, in bytes.
const BYTES_MAX: u64 = 1 << 20;
/// The most ports of the console device.
pub const PORTS_MAX: usize = 8;
/// `VIRTIO_BLK_ID_BYTES`: the most bytes of a disk's serial number (virtio 1.2, 5.2.6.1).
const SERIAL_BYTES_MAX: usize = 20;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The kernel: an ELF image.
    pub kernel: PathBuf,
    /// The first file system of the guest.
    #[serde(default)]
    pub initramfs: Option<PathBuf>,
    /// The kernel's command line.
    #[serde(default)]
    pub command_line: String,
    /// How the kernel is entered.
    #[serde(default)]
    pub entry: Entry,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Virtual processors.
    #[serde(default = "one")]
    pub vcpus: u32,
    /// Disks, in the order in which the guest sees them.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// Network devices.
    #[serde(default)]
    pub nics: Vec<Nic>,
    /// Byte streams between guest and host.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// The guest gets random numbers.
    #[serde(default = "yes")]
    pub entropy: bool,
    /// The guest gives memory back when it is asked to, and when it is free.
    #[serde(default = "yes")]
    pub balloon: bool,
    /// Where the monitor listens for requests.
    #[serde(default)]
    pub control: Option<PathBuf>,
    /// The only directory in which files may be made once the machine is built: snapshots go below it.
    #[serde(default)]
    pub snapshots: Option<PathBuf>,
    /// The monitor gives up files, capabilities and system calls before its guest runs.
    #[serde(default = "yes")]
    pub jail: bool,
    /// Goes on from a snapshot instead of booting; the directory that it was written to.
    #[serde(default)]
    pub restore: Option<PathBuf>,
}

/// How a kernel is entered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// By PVH when the image offers it, in 64-bit mode otherwise.
    #[default]
    Auto,
    /// By PVH, in 32-bit mode (xen/docs/misc/pvh.pandoc).
    Pvh,
    /// In 64-bit mode (Documentation/arch/x86/boot.rst).
    Long,
}

/// A disk: a file with the contents, as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// The file.
    pub path: PathBuf,
    /// The guest only reads it.
    #[serde(default)]
    pub read_only: bool,
    /// Serial number, at most 20 bytes.
    #[serde(default)]
    pub serial: String,
    /// Nothing has to survive a crash of the host: the guest's flushes are answered without a wait.
    #[serde(default)]
    pub volatile: bool,
    /// How fast it may be.
    #[serde(default)]
    pub rate: Rate,
}

/// A network device, joined to a tap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nic {
    /// The tap's name.
    pub tap: String,
    /// Hardware address.
    pub mac: [u8; 6],
    /// How fast the guest may receive.
    #[serde(default)]
    pub receive: Rate,
    /// How fast it may send.
    #[serde(default)]
    pub send: Rate,
}

/// A named byte stream: the monitor connects to `socket` as it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// The name that the guest finds it by.
    pub name: String,
    /// A unix socket where somebody listens.
    pub socket: PathBuf,
}

/// Limits of a device. Zero is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rate {
    /// Bytes a second.
    pub bytes_per_s: u64,
    /// Requests (packets) a second.
    pub operations_per_s: u64,
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

impl Config {
    /// Reads a document.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Config`].
    pub fn read(path: &Path) -> Result<Self> {
        let file = std::fs::File::open(path).map_err(Error::file("open", path))?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, BYTES_MAX), &mut bytes)
            .map_err(Error::file("read", path))?;
        Self::parse(&bytes)
    }

    /// Understands a document.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let config: Self = serde_json::from_slice(bytes).map_err(|error| Error::Config(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// How many virtio devices the machine has.
    #[must_use]
    pub fn devices(&self) -> usize {
        let console = usize::from(!self.ports.is_empty());
        self.disks.len() + self.nics.len() + console + usize::from(self.entropy) + usize::from(self.balloon)
    }

    fn check(&self) -> Result<()> {
        let refuse = |why: String| Err(Error::Config(why));
        layout::memory(self.memory_bytes)?;
        if !(1..=layout::VCPUS_MAX).contains(&self.vcpus) {
            return refuse(format!("{} virtual processors are not between 1 and {}", self.vcpus, layout::VCPUS_MAX));
        }
        if self.devices() > layout::VIRTIO_MAX {
            return refuse(format!("{} devices are more than {}", self.devices(), layout::VIRTIO_MAX));
        }
        if self.command_line.len() >= layout::COMMAND_LINE_BYTES_MAX || self.command_line.contains('\0') {
            return refuse("the command line is longer than 2047 bytes, or has a zero in it".to_owned());
        }
        if let Some(disk) = self.disks.iter().find(|disk| disk.serial.len() > SERIAL_BYTES_MAX) {
            return refuse(format!("the serial number {:?} is longer than {SERIAL_BYTES_MAX} bytes", disk.serial));
        }
        if let Some(nic) = self.nics.iter().find(|nic| nic.tap.is_empty() || nic.tap.len() > 15) {
            return refuse(format!("{:?} is no name of a network device", nic.tap));
        }
        if self.ports.len() > PORTS_MAX {
            return refuse(format!("{} ports are more than {PORTS_MAX}", self.ports.len()));
        }
        if self.ports.iter().any(|port| port.name.is_empty() || port.name.len() > 64) {
            return refuse("a port has a name of 1 to 64 bytes".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_machine_has_the_rest_by_default() {
        let config = Config::parse(br#"{"kernel": "/k", "memory_bytes": 134217728}"#).expect("config");
        assert_eq!((config.vcpus, config.devices(), config.entry), (1, 2, Entry::Auto));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let disks = serde_json::to_string(&vec![serde_json::json!({"path": "/d"}); 18]).expect("json");
        let long = "x".repeat(2048);
        for rest in [
            r#""memory_bytes": 1"#.to_owned(),
            r#""memory_bytes": 134217728, "vcpus": 0"#.to_owned(),
            r#""memory_bytes": 134217728, "vcpus": 65"#.to_owned(),
            r#""memory_bytes": 134217728, "unknown": 1"#.to_owned(),
            format!(r#""memory_bytes": 134217728, "disks": {disks}"#),
            format!(r#""memory_bytes": 134217728, "command_line": "{long}""#),
            r#""memory_bytes": 134217728, "command_line": "a\u0000b""#.to_owned(),
            r#""memory_bytes": 134217728, "disks": [{"path": "/d", "serial": "123456789012345678901"}]"#.to_owned(),
            r#""memory_bytes": 134217728, "nics": [{"tap": "sixteen-bytes-xx", "mac": [1,2,3,4,5,6]}]"#.to_owned(),
            r#""memory_bytes": 134217728, "ports": [{"name": "", "socket": "/s"}]"#.to_owned(),
        ] {
            let text = format!(r#"{{"kernel": "/k", {rest}}}"#);
            assert!(Config::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
