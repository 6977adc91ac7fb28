//! Privileges: capabilities, seccomp, masked paths and the `--security-opt` grammar.

use ::oci_spec::runtime::LinuxSeccomp;
use berth_runtime::{capability, seccomp};
use berth_spec::model::HostConfig;
use serde_json::{Value, json};

use crate::{Error, Result, config::Config};

/// Paths of /proc and /sys that show or change the host: Docker's list, as data. A container does not see them, unless
/// it is privileged.
pub const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
/// Paths of /proc that a container may read but not write: Docker's list, as data.
/// Paths that a container may not write to, unless it is privileged.
pub const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// `--security-opt` in parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecurityOptions {
    /// execve(2) grants no privileges.
    pub no_new_privileges: bool,
    /// `unconfined`, `builtin`, or a profile's JSON text.
    pub seccomp: Option<String>,
    /// AppArmor profile.
    pub apparmor: Option<String>,
    /// SELinux label.
    pub selinux: Option<String>,
    /// Mask and protect no paths.
    pub unconfined_paths: bool,
}

impl SecurityOptions {
    /// Reads the options; the daemon's defaults fill the gaps.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the option that is unknown.
    pub fn parse(options: &[String], config: &Config) -> Result<Self> {
        let mut parsed = Self { no_new_privileges: config.no_new_privileges, ..Self::default() };
        let mut label = Vec::new();
        for option in options {
            if option == "no-new-privileges" {
                parsed.no_new_privileges = true;
                continue;
            }
            let unknown = || Error::Invalid(format!("invalid --security-opt 2: \"{option}\""));
            let (key, value) = option.split_once('=').or_else(|| option.split_once(':')).ok_or_else(unknown)?;
            match key {
                "no-new-privileges" => {
                    parsed.no_new_privileges =
                        value.parse().map_err(|_| Error::Invalid(format!("invalid --security-opt: \"{option}\"")))?;
                }
                "seccomp" => parsed.seccomp = Some(value.to_owned()),
                "apparmor" => parsed.apparmor = Some(value.to_owned()).filter(|name| name != "unconfined"),
                "label" => label.push(value.to_owned()),
                "systempaths" if value == "unconfined" => parsed.unconfined_paths = true,
                "writable-cgroups" => {}
                _ => return Err(unknown()),
            }
        }
        parsed.selinux = selinux(&label);
        if parsed.seccomp.is_none()
            && let Some(path) = &config.seccomp_profile
        {
            let text =
                std::fs::read_to_string(path).map_err(|error| Error::file("read seccomp profile", path, error))?;
            parsed.seccomp = Some(text);
        }
        Ok(parsed)
    }
}

/// A whole label from `user:`, `role:`, `type:` and `level:` parts; none when disabled or not given.
fn selinux(parts: &[String]) -> Option<String> {
    let part = |key: &str| parts.iter().find_map(|part| part.strip_prefix(key));
    let named = ["user:", "role:", "type:", "level:"].iter().any(|key| part(key).is_some());
    named.then(|| {
        format!(
            "{}:{}:{}:{}",
            part("user:").unwrap_or("system_u"),
            part("role:").unwrap_or("system_r"),
            part("type:").unwrap_or("container_t"),
            part("level:").unwrap_or("s0"),
        )
    })
}

/// Masked and read-only paths.
pub fn paths(host: &HostConfig, privileged: bool, security: &SecurityOptions) -> (Vec<String>, Vec<String>) {
    if privileged || security.unconfined_paths {
        return (Vec::new(), Vec::new());
    }
    let owned = |list: &[&str]| list.iter().map(|path| (*path).to_owned()).collect();
    (
        host.masked_paths.clone().unwrap_or_else(|| owned(MASKED)),
        host.readonly_paths.clone().unwrap_or_else(|| owned(READ_ONLY)),
    )
}

/// The capability sets. As Docker's: ambient and inheritable stay empty (CVE-2022-29162).
pub fn capabilities(host: &HostConfig, privileged: bool) -> Result<Value> {
    let names = capability_names(host, privileged)?;
    Ok(json!({"bounding": names, "effective": names, "permitted": names}))
}

fn capability_names(host: &HostConfig, privileged: bool) -> Result<Vec<String>> {
    let (add, drop) = (host.cap_add.as_deref().unwrap_or(&[]), host.cap_drop.as_deref().unwrap_or(&[]));
    capability::resolve(add, drop, privileged).map_err(|error| Error::Invalid(error.to_string()))
}

/// The system call filter, resolved for the container's capabilities; `None` when unconfined.
pub fn seccomp(security: &SecurityOptions, host: &HostConfig, privileged: bool) -> Result<Option<LinuxSeccomp>> {
    let parsed;
    let profile = match security.seccomp.as_deref() {
        Some("unconfined") => return Ok(None),
        None if privileged => return Ok(None),
        None | Some("" | "builtin") => seccomp::Profile::builtin(),
        Some(text) => {
            parsed = seccomp::Profile::parse(text)
                .map_err(|error| Error::Invalid(format!("Decoding seccomp profile failed: {error}")))?;
            &parsed
        }
    };
    Ok(profile.resolve(&capability_names(host, privileged)?))
}
