//! What the engine decides about a machine before it exists: `vm.json` of a bundle.

use std::path::{Path, PathBuf};

use oci_spec::runtime::LinuxResources;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, kernel::Boot, message::Upper};

const FILE: &str = "vm.json";
/// Version of the file.
const VERSION: u32 = 1;

/// Who runs guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// QEMU, interpreting the guest's instructions.
    QemuTcg,
    /// QEMU on the host's KVM.
    QemuKvm,
    /// The engine's own monitor (`berth vmm`), which needs KVM.
    BerthKvm,
}

impl Backend {
    /// As `info` and `inspect` say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QemuTcg => "qemu-tcg",
            Self::QemuKvm => "qemu-kvm",
            Self::BerthKvm => "berth-kvm",
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this file.
    pub version: u32,
    /// Who runs it.
    pub backend: Backend,
    /// Why; one sentence.
    #[serde(default)]
    pub why: String,
    /// The monitor's program, as the jail shows it.
    pub program: PathBuf,
    /// Kernel and initramfs.
    pub boot: Boot,
    /// The guest's memory in bytes.
    pub memory_bytes: u64,
    /// Its processors.
    pub vcpus: u32,
    /// Read-only image of the root file system.
    pub image: PathBuf,
    /// Where changes go.
    pub upper: Upper,
    /// The disk for changes, when they go to one.
    pub disk: Option<PathBuf>,
    /// The size of that disk in bytes.
    #[serde(default)]
    pub disk_bytes: u64,
    /// Nothing on the disk has to survive a crash.
    pub volatile: bool,
    /// How many network devices it has.
    pub nics: u32,
    /// The monitor's own user ids on the host: the first, and how many.
    pub ids: (u32, u32),
    /// The monitor's control group.
    pub cgroup: String,
    /// The monitor's limits.
    pub resources: LinuxResources,
    /// Files to give by contents: those below this directory.
    pub files: PathBuf,
    /// The guest's host name.
    pub host_name: String,
    /// Kernel settings of the guest.
    pub sysctls: Vec<(String, String)>,
    /// An init as process 1 of the container.
    pub init: bool,
    /// Supplementary groups of the container's processes.
    pub groups: Vec<String>,
    /// The state of a warm machine to restore instead of booting; where to write it, for a machine that becomes one.
    pub template: Option<PathBuf>,
}

impl Plan {
    /// The version that this program writes.
    pub const VERSION: u32 = VERSION;

    /// Whether a bundle is a machine's.
    #[must_use]
    pub fn is_in(bundle: &Path) -> bool {
        bundle.join(FILE).exists()
    }

    /// Reads it from a bundle.
    ///
    /// # Errors
    /// [`Error::File`] or [`Error::Record`].
    pub fn read(bundle: &Path) -> Result<Self> {
        read(&bundle.join(FILE))
    }

    /// Writes it into a bundle.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn write(&self, bundle: &Path) -> Result<()> {
        write(&bundle.join(FILE), self)
    }
}

/// The name of the `index`th tap in the container's network namespace.
#[must_use]
pub fn tap_name(index: usize) -> String {
    format!("tap{index}")
}

/// The hardware address that the `index`th network device is built with; the guest is told its real one.
#[must_use]
pub fn placeholder_mac(index: usize) -> [u8; 6] {
    [0x52, 0x54, 0, 0, 0, index as u8]
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(Error::file("read", path))?;
    serde_json::from_slice(&bytes).map_err(|source| Error::Record { path: path.to_owned(), source })
}

fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(value).map_err(|source| Error::Record { path: path.to_owned(), source })?;
    crate::kernel::replace(path, &text)
}
