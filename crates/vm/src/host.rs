//! What the host has for virtual machines: monitors, programs, and which of them is used for a container.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    doctor::{self, Probe},
    jail,
    plan::Backend,
    vmm,
};

/// Which monitor runs a guest here, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The monitor.
    pub backend: Backend,
    /// One sentence.
    pub why: String,
    /// Its program, as the jail shows it.
    pub program: PathBuf,
}

/// A monitor that is asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Monitor {
    /// The engine's own, wherever KVM runs guests at all.
    Berth,
    /// QEMU.
    Qemu,
}

impl Monitor {
    /// Understands a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "berth" => Some(Self::Berth),
            "qemu" => Some(Self::Qemu),
            _ => None,
        }
    }
}

/// What a container wants of its monitor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Directories of the host are shared with it.
    pub shares: bool,
    /// Processors.
    pub vcpus: u32,
    /// Network devices.
    pub nics: u32,
    /// The monitor, where one is asked for.
    pub monitor: Option<Monitor>,
}

impl Wanted {
    /// Why the engine's own monitor cannot run it.
    fn beyond_own(self) -> Option<&'static str> {
        match self {
            Self { shares: true, .. } => Some("berth's own monitor does not share directories yet"),
            Self { vcpus, .. } if vcpus > vmm::VCPUS_MAX => Some("berth's own monitor has fewer processors"),
            Self { nics, .. } if nics as usize > vmm::NICS_MAX => Some("berth's own monitor has fewer network devices"),
            _ => None,
        }
    }
}

/// Chooses the monitor.
///
/// # Errors
/// [`Error::NoBackend`] when there is none, or not the one that is asked for.
pub fn choose(wanted: Wanted) -> Result<Choice> {
    decide(wanted, doctor::probe(), qemu())
}

/// The choice, by what was found. The engine's own monitor needs KVM that really runs guests, and a container that it
/// can serve; all else is QEMU's.
fn decide(wanted: Wanted, probe: Probe, qemu: Option<PathBuf>) -> Result<Choice> {
    let fast = matches!(probe, Probe::Fast(_));
    let sentence = probe.sentence();
    let own = |so: &str| Choice {
        backend: Backend::BerthKvm,
        why: format!("{sentence}; {so}"),
        program: PathBuf::from(jail::ENGINE),
    };
    let so = match (wanted.monitor, wanted.beyond_own()) {
        (Some(Monitor::Berth), Some(lacks)) => {
            return Err(Error::NoBackend(format!("berth's own monitor is asked for, but {lacks}")));
        }
        (Some(Monitor::Berth), None) if matches!(probe, Probe::Refused(_)) => {
            return Err(Error::NoBackend(format!("berth's own monitor is asked for, but {sentence}")));
        }
        (Some(Monitor::Berth), None) => return Ok(own("berth's own monitor is asked for")),
        (None, None) if fast => return Ok(own("berth's own monitor uses it")),
        (None, Some(lacks)) if fast => format!("QEMU uses it, since {lacks}"),
        (Some(Monitor::Qemu), _) if fast => "QEMU is asked for, and uses it".to_owned(),
        _ => "QEMU interprets guests".to_owned(),
    };
    let program = qemu.ok_or_else(|| {
        let missing = "qemu-system-x86_64 is not installed (Debian: apt-get install qemu-system-x86)";
        Error::NoBackend(format!("{missing}; {sentence}; {so}"))
    })?;
    let backend = if fast { Backend::QemuKvm } else { Backend::QemuTcg };
    Ok(Choice { backend, why: format!("{sentence}; {so}"), program })
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

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Probe = Probe::Fast(2_000_000_000);
    const SLOW: Probe = Probe::Slow(1_000_000);
    const REFUSED: Probe = Probe::Refused(berth_sys::Errno::NOENT);
    const PLAIN: Wanted = Wanted { shares: false, vcpus: 1, nics: 1, monitor: None };
    const SHARES: Wanted = Wanted { shares: true, ..PLAIN };
    const BERTH: Wanted = Wanted { monitor: Some(Monitor::Berth), ..PLAIN };
    const QEMU: Wanted = Wanted { monitor: Some(Monitor::Qemu), ..PLAIN };

    fn there() -> Option<PathBuf> {
        Some(PathBuf::from("/usr/bin/qemu-system-x86_64"))
    }

    #[test]
    fn probe_container_and_wish_decide() {
        for (wanted, probe, backend, why) in [
            (
                PLAIN,
                FAST,
                Backend::BerthKvm,
                "KVM runs 2000 million guest instructions a second; berth's own monitor uses it",
            ),
            (SHARES, FAST, Backend::QemuKvm, "QEMU uses it, since berth's own monitor does not share directories yet"),
            (Wanted { vcpus: 65, ..PLAIN }, FAST, Backend::QemuKvm, "berth's own monitor has fewer processors"),
            (Wanted { nics: 15, ..PLAIN }, FAST, Backend::QemuKvm, "berth's own monitor has fewer network devices"),
            (QEMU, FAST, Backend::QemuKvm, "QEMU is asked for, and uses it"),
            (BERTH, FAST, Backend::BerthKvm, "berth's own monitor is asked for"),
            (PLAIN, SLOW, Backend::QemuTcg, "it is emulated, and no kernel boots on it; QEMU interprets guests"),
            (SHARES, SLOW, Backend::QemuTcg, "QEMU interprets guests"),
            (QEMU, SLOW, Backend::QemuTcg, "QEMU interprets guests"),
            (BERTH, SLOW, Backend::BerthKvm, "berth's own monitor is asked for"),
            (PLAIN, REFUSED, Backend::QemuTcg, "there is no /dev/kvm; QEMU interprets guests"),
        ] {
            let choice = decide(wanted, probe, there()).expect("a choice");
            assert!(choice.backend == backend && choice.why.ends_with(why), "{wanted:?} {probe:?}: {choice:?}");
            let own = choice.program == Path::new(jail::ENGINE);
            assert_eq!(own, backend == Backend::BerthKvm, "{choice:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        let shared = Wanted { shares: true, ..BERTH };
        for (wanted, probe, qemu, part) in [
            (shared, FAST, there(), "asked for, but berth's own monitor does not share directories yet"),
            (BERTH, REFUSED, there(), "asked for, but there is no /dev/kvm"),
            (PLAIN, SLOW, None, "qemu-system-x86_64 is not installed"),
            (SHARES, FAST, None, "since berth's own monitor does not share directories yet"),
            (QEMU, FAST, None, "QEMU is asked for"),
        ] {
            let error = decide(wanted, probe, qemu).expect_err("no choice").to_string();
            assert!(error.contains(part), "{wanted:?}: {error}");
        }
        assert!(decide(PLAIN, FAST, None).is_ok(), "QEMU is not needed where it is not used");
    }
}
