//! What the host has for virtual machines: monitors, programs, and which of them is used.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    doctor::{self, Probe},
    plan::Backend,
};

/// Which monitor runs guests here, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The monitor.
    pub backend: Backend,
    /// One sentence.
    pub why: String,
    /// QEMU's program.
    pub program: PathBuf,
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
    Ok(Choice { backend, why: format!("{}; {so}", probe.sentence()), program })
}

/// QEMU's program for this architecture.
#[must_use]
pub fn qemu() -> Option<PathBuf> {
    on_path("qemu-system-x86_64")
}

/// Only below `/usr`: that is all of the host's programs that a jail shows.
fn on_path(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/libexec"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.exists())
}
