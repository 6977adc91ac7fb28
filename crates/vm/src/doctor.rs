//! What this host has for virtual machines, what it lacks, and what to change.

use std::{fs, path::Path, sync::OnceLock};

use serde::{Deserialize, Serialize};

use crate::{host, kernel::Store};

/// How a finding is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All is well.
    Good,
    /// Machines run, but slower or with less than they could.
    Weak,
    /// Something does not work without it.
    Bad,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Finding {
    /// What was looked at.
    pub what: String,
    /// How it is meant.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to change in firmware, kernel or packages; empty where nothing is to be changed.
    pub advice: String,
}

/// What a timed payload told of KVM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// It runs guests at this speed, in instructions a second.
    Fast(u64),
    /// It runs them, but so slowly that a kernel does not boot: something emulates it.
    Slow(u64),
    /// It does not run at all.
    Refused(berth_sys::Errno),
}

/// Fewer instructions a second than this are an emulation. Real processors execute billions, one inside another
/// machine still hundreds of millions.
const FAST_ENOUGH: u64 = 50_000_000;
/// Rounds of the payload: 50 ms on the slowest emulation that was seen, microseconds on a processor.
const ROUNDS: u32 = 40_000;

/// Times a payload on KVM, once for this process.
#[must_use]
pub fn probe() -> Probe {
    static PROBED: OnceLock<Probe> = OnceLock::new();
    *PROBED.get_or_init(|| match berth_sys::kvm::time_payload(ROUNDS) {
        Ok(timed) if timed.speed() >= FAST_ENOUGH => Probe::Fast(timed.speed()),
        Ok(timed) => Probe::Slow(timed.speed()),
        Err(errno) => Probe::Refused(errno),
    })
}

impl Probe {
    /// One sentence.
    #[must_use]
    pub fn sentence(self) -> String {
        match self {
            Self::Fast(speed) => format!("KVM runs {} million guest instructions a second", speed / 1_000_000),
            Self::Slow(speed) => format!(
                "/dev/kvm is there, but runs only {:.1} million guest instructions a second: it is emulated, and no kernel boots on it",
                speed as f64 / 1e6
            ),
            Self::Refused(berth_sys::Errno::NOENT) => "there is no /dev/kvm".to_owned(),
            Self::Refused(errno) => format!("KVM refused to run a guest: {}", std::io::Error::from(errno)),
        }
    }
}

/// Looks at everything.
#[must_use]
pub fn examine(root: &Path) -> Vec<Finding> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    vec![
        processor(&cpuinfo),
        inside(&cpuinfo),
        device(),
        timed(),
        nested(),
        iommu(),
        vhost(),
        tun(),
        qemu(),
        kernel(root),
    ]
}

fn finding(what: &str, verdict: Verdict, found: impl Into<String>, advice: &str) -> Finding {
    Finding { what: what.to_owned(), verdict, found: found.into(), advice: advice.to_owned() }
}

fn flag<'a>(cpuinfo: &str, names: &[&'a str]) -> Option<&'a str> {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"))?.split_once(':')?.1;
    names.iter().find(|name| flags.split_whitespace().any(|flag| flag == **name)).copied()
}

fn processor(cpuinfo: &str) -> Finding {
    match flag(cpuinfo, &["vmx", "svm"]) {
        Some("vmx") => finding("processor", Verdict::Good, "Intel VT-x (vmx)", ""),
        Some(_) => finding("processor", Verdict::Good, "AMD-V (svm)", ""),
        None => finding(
            "processor",
            Verdict::Weak,
            "neither vmx nor svm",
            "switch on Intel VT-x or AMD-V (SVM) in the firmware; in a virtual machine, switch on nested virtualization for it at its host",
        ),
    }
}

fn inside(cpuinfo: &str) -> Finding {
    if flag(cpuinfo, &["hypervisor"]).is_none() {
        return finding("this host", Verdict::Good, "a machine of its own", "");
    }
    let vendor = fs::read_to_string("/sys/class/dmi/id/sys_vendor").unwrap_or_default();
    let vendor = vendor.trim();
    let found = if vendor.is_empty() { String::new() } else { format!(" ({vendor})") };
    finding("this host", Verdict::Weak, format!("itself a virtual machine{found}"), "")
}

fn device() -> Finding {
    match fs::OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        Ok(_) => finding("/dev/kvm", Verdict::Good, "it opens", ""),
        Err(error) => finding(
            "/dev/kvm",
            Verdict::Weak,
            error.to_string(),
            "load the module: modprobe kvm_intel, or modprobe kvm_amd (CONFIG_KVM)",
        ),
    }
}

fn timed() -> Finding {
    let probe = probe();
    match probe {
        Probe::Fast(_) => finding("timed probe", Verdict::Good, probe.sentence(), ""),
        _ => finding(
            "timed probe",
            Verdict::Weak,
            probe.sentence(),
            "guests run on QEMU's interpreter here, some ten times slower; a host with hardware virtualization runs them at full speed",
        ),
    }
}

fn nested() -> Finding {
    let read = |module: &str| fs::read_to_string(format!("/sys/module/{module}/parameters/nested")).ok();
    match read("kvm_intel").or_else(|| read("kvm_amd")).as_deref().map(str::trim) {
        Some("Y" | "1") => finding("nested virtualization", Verdict::Good, "guests may have guests", ""),
        Some(_) => finding(
            "nested virtualization",
            Verdict::Weak,
            "switched off",
            "only needed for guests that run guests: options kvm_intel nested=1 (kvm_amd) in /etc/modprobe.d",
        ),
        None => finding("nested virtualization", Verdict::Weak, "neither kvm_intel nor kvm_amd is loaded", ""),
    }
}

fn iommu() -> Finding {
    let groups = fs::read_dir("/sys/kernel/iommu_groups").map_or(0, Iterator::count);
    if groups > 0 {
        return finding("IOMMU", Verdict::Good, format!("{groups} groups"), "");
    }
    finding(
        "IOMMU",
        Verdict::Weak,
        "no groups: devices cannot be passed through",
        "switch on VT-d or AMD-Vi in the firmware, and boot with intel_iommu=on (AMD: on by default)",
    )
}

fn vhost() -> Finding {
    let there: Vec<&str> =
        ["/dev/vhost-net", "/dev/vhost-vsock"].into_iter().filter(|path| Path::new(path).exists()).collect();
    if there.len() == 2 {
        return finding("vhost", Verdict::Good, there.join(", "), "");
    }
    let found = if there.is_empty() { "none".to_owned() } else { format!("only {}", there.join(", ")) };
    finding("vhost", Verdict::Weak, found, "modprobe vhost_net vhost_vsock: the network of guests gets faster")
}

fn tun() -> Finding {
    if Path::new("/dev/net/tun").exists() {
        finding("/dev/net/tun", Verdict::Good, "it is there", "")
    } else {
        finding("/dev/net/tun", Verdict::Bad, "missing: guests have no network", "modprobe tun (CONFIG_TUN)")
    }
}

fn qemu() -> Finding {
    match host::qemu() {
        Some(path) => finding("QEMU", Verdict::Good, path.display().to_string(), ""),
        None => finding("QEMU", Verdict::Bad, "not installed", "Debian: apt-get install qemu-system-x86"),
    }
}

fn kernel(root: &Path) -> Finding {
    match Store::new(root).current() {
        Ok(kernel) => finding("guests' kernel", Verdict::Good, format!("{} ({})", kernel.name, kernel.origin), ""),
        Err(error) => finding("guests' kernel", Verdict::Bad, error.to_string(), "berth vm kernel"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_found_as_words() {
        let text = "processor : 0\nflags\t\t: fpu vmx_not hypervisor\n";
        assert_eq!((flag(text, &["vmx", "svm"]), flag(text, &["hypervisor"])), (None, Some("hypervisor")));
        assert_eq!(processor("flags : svm").verdict, Verdict::Good);
    }

    #[test]
    fn everything_is_looked_at_and_what_is_bad_has_advice() {
        let dir = tempfile::tempdir().expect("tempdir");
        let findings = examine(dir.path());
        assert_eq!(findings.len(), 10);
        assert!(findings.iter().all(|one| one.verdict != Verdict::Bad || !one.advice.is_empty()), "{findings:?}");
        let kernel = findings.iter().find(|one| one.what == "guests' kernel").expect("kernel");
        assert_eq!(kernel.verdict, Verdict::Bad);
    }
}
