//! From a container's record to the runtime's specification: a pure function of its [`Input`].
//!
//! Follows the OCI runtime specification 1.3 (config.md, config-linux.md). Policy (capabilities, masked paths, the
//! seccomp profile) is data of the `runtime` crate.

mod device;
mod mount;
mod namespace;
mod process;
pub mod resource;
mod security;

use std::path::{Path, PathBuf};

use berth_kit::guard::{Guard, stands};
use berth_sys::user_namespace;
use oci_spec::runtime::Spec;
use serde_json::{Value, json};

pub use namespace::{Joined, Namespaces};
pub use process::{exec_environment, user, working_dir};
pub use security::{MASKED, READ_ONLY, SecurityOptions, capabilities};

use crate::{Error, Result, config::Config, id_range::IdRange, record::Record};

/// All that a specification depends on.
pub struct Input<'a> {
    /// The container.
    pub record: &'a Record,
    /// The daemon's defaults.
    pub config: &'a Config,
    /// Which namespaces are its own.
    pub namespaces: &'a Namespaces,
    /// Its ids; `None` in the host's user namespace.
    pub ids: Option<IdRange>,
    /// Host paths of its mounts, in the order of the record's.
    pub sources: &'a [PathBuf],
    /// Directory with hostname, hosts and resolv.conf.
    pub files: &'a Path,
    /// Cgroup, absolute from the hierarchy's root.
    pub cgroup: &'a str,
    /// What vendors' descriptions of devices change.
    pub edits: &'a [berth_cdi::ContainerEdits],
    /// Variables that tell of linked containers.
    pub linked: &'a [String],
    /// Rows and columns of the terminal.
    pub console: Option<(u16, u16)>,
}

/// Builds the specification.
///
/// # Errors
/// [`Error::Invalid`] for settings that only show to be wrong here: an unknown capability, device or profile.
pub fn build(input: &Input) -> Result<Spec> {
    let record = input.record;
    let security = SecurityOptions::parse(record.host.security_opt.as_deref().unwrap_or(&[]), input.config)?;
    let privileged = record.host.privileged.unwrap_or(false);
    let (masked, read_only) = security::paths(&record.host, privileged, &security);
    let devices = device::list(&record.host, privileged)?;
    let mut resources = resource::limits(&record.host);
    resources["devices"] = device::rules(&record.host, privileged, &devices)?;
    let mut linux = json!({
        "namespaces": input.namespaces.to_json(),
        "cgroupsPath": input.cgroup,
        "resources": resources,
        "devices": devices,
        "maskedPaths": masked,
        "readonlyPaths": read_only,
        "sysctl": sysctls(input),
        "rootfsPropagation": mount::propagation(record),
    });
    if let (Some(ids), false) = (input.ids, input.namespaces.user.is_joined()) {
        let mapping = json!([{"containerID": 0, "hostID": ids.host_base, "size": ids.len}]);
        linux["uidMappings"] = mapping.clone();
        linux["gidMappings"] = mapping;
    }
    if let Some(offsets) = time_offsets(record)? {
        linux["timeOffsets"] = offsets;
    }
    let capabilities = security::capabilities(&record.host, privileged)?;
    let mut spec = json!({
        "ociVersion": "1.2.0",
        "hostname": record.config.hostname.as_deref().filter(|_| input.namespaces.uts.is_new()),
        "domainname": record.config.domainname.as_deref().filter(|name| !name.is_empty() && input.namespaces.uts.is_new()),
        "root": {"path": "rootfs", "readonly": record.host.readonly_rootfs.unwrap_or(false)},
        "process": process::build(input, &capabilities, &security),
        "mounts": mount::list(input),
        "annotations": record.host.annotations,
        "linux": linux,
    });
    input.edits.iter().try_for_each(|edits| berth_cdi::apply(edits, &mut spec)).map_err(Error::Devices)?;
    let mut spec: Spec = serde_json::from_value(without_nulls(spec))
        .map_err(|error| Error::Invalid(format!("these settings make no valid runtime specification: {error}")))?;
    if let Some(linux) = spec.linux_mut() {
        linux.set_seccomp(security::seccomp(&security, &record.host, privileged)?);
    }
    Ok(spec)
}

/// Checks what only shows when a specification is built, so that a wrong setting is refused at creation.
///
/// # Errors
/// [`Error::Invalid`] for an unknown capability, security option, profile or device rule.
pub fn check(record: &Record, config: &Config) -> Result<()> {
    let privileged = record.host.privileged.unwrap_or(false);
    let security = SecurityOptions::parse(record.host.security_opt.as_deref().unwrap_or(&[]), config)?;
    security::capabilities(&record.host, privileged)?;
    security::seccomp(&security, &record.host, privileged)?;
    device::rules(&record.host, privileged, &[])?;
    device::check(&record.host)?;
    time_offsets(record).map(drop)
}

fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(map) = &mut value {
        map.retain(|_, value| !value.is_null());
    }
    value
}

/// The user's sysctls, and the two that let an ordinary user bind low ports and ping, as Docker sets them.
fn sysctls(input: &Input) -> Value {
    let mut all = serde_json::Map::new();
    if input.namespaces.network.is_new() {
        all.insert("net.ipv4.ip_unprivileged_port_start".to_owned(), json!("0"));
        if input.ids.is_some() {
            all.insert("net.ipv4.ping_group_range".to_owned(), json!("0 65535"));
        } else if user_namespace::is_nested() {
            let last = user_namespace::ids().saturating_sub(1);
            all.insert("net.ipv4.ping_group_range".to_owned(), json!(format!("0 {last}")));
        } else {
            all.insert("net.ipv4.ping_group_range".to_owned(), json!("0 2147483647"));
        }
    }
    for (key, value) in input.record.host.sysctls.iter().flatten() {
        all.insert(key.clone(), json!(value));
    }
    Value::Object(all)
}

/// Offsets of the container's clocks, from annotations `io.berth.time-offset.<clock>` in Go durations.
fn time_offsets(record: &Record) -> Result<Option<Value>> {
    let mut offsets = serde_json::Map::new();
    for clock in ["monotonic", "boottime"] {
        let key = format!("io.berth.time-offset.{clock}");
        let labels = record.config.labels.as_ref().filter(|_| !stands(Guard::LabelsAreData));
        let text = record.host.annotations.as_ref().and_then(|all| all.get(&key));
        let Some(text) = text.or_else(|| labels.and_then(|all| all.get(&key))) else { continue };
        let ns = berth_kit::time::parse_duration(text)
            .map_err(|error| Error::Invalid(format!("annotation {key}: {error}")))?;
        let (secs, nanosecs) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
        offsets.insert(clock.to_owned(), json!({"secs": secs, "nanosecs": nanosecs}));
    }
    Ok((!offsets.is_empty()).then_some(Value::Object(offsets)))
}

/// Whether the record asks for its own time namespace.
pub fn wants_time(record: &Record) -> bool {
    let labels = record.config.labels.as_ref().filter(|_| !stands(Guard::LabelsAreData));
    let mut keys = record.host.annotations.iter().flatten().chain(labels.into_iter().flatten());
    keys.any(|(key, _)| key.starts_with("io.berth.time-offset."))
}
