//! What the host has for virtual machines: monitors, programs, and which of them is used.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    doctor::{self, Probe},
    plan::Backend,
};

/// Where virtiofsd is found beside the search path: no distribution puts it there.
const VIRTIOFSD: &[&str] =
    &["/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd", "/usr/lib/virtiofsd", "/usr/lib/kvm/virtiofsd"];

/// Which monitor runs guests here, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The monitor.
    pub backend: Backend,
    /// One sentence.
    pub why: String,
    /// QEMU's program.
    pub program: PathBuf,
    /// The program that serves directories.
    pub virtiofsd: Option<PathBuf>,
}

/// Chooses the monitor.
///
/// # Errors
/// [`Error::NoBackend`] when there is none.
pub fn choose() -> Result<Choice> {
    let program = qemu().ok_or_else(|| {
        Error::NoBackend("qemu-system-x86_64 is not installed (Debian: apt-get install qemu-system-x86)".to_owned())
    })?;
    let probe = doctor::probe();
    let (backend, so) = match probe {
        Probe::Fast(_) => (Backend::QemuKvm, "QEMU uses it"),
        _ => (Backend::QemuTcg, "QEMU interprets guests"),
    };
    Ok(Choice { backend, why: format!("{}; {so}", probe.sentence()), program, virtiofsd: virtiofsd() })
}

/// QEMU's program for this architecture.
#[must_use]
pub fn qemu() -> Option<PathBuf> {
    on_path("qemu-system-x86_64")
}

/// The program that serves directories to guests.
#[must_use]
pub fn virtiofsd() -> Option<PathBuf> {
    on_path("virtiofsd").or_else(|| VIRTIOFSD.iter().map(PathBuf::from).find(|path| path.exists()))
}

/// Only below `/usr`: that is all of the host's programs that a jail shows.
fn on_path(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/libexec"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists())
}
