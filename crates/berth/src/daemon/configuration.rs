//! What the daemon does: flags and file joined, checked and typed.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use berth_network::NetworkConfig;
use berth_spec::model::ResourcesUlimits;
use serde_json::Value;

use super::{file, network, option::Effect, options::OPTIONS, storage, value::Values};
use crate::rootless::{self, Roots};

const CONFIG_FILE: &str = "/etc/berth/daemon.json";
const DATA_ROOT: &str = "/var/lib/berth";
const EXEC_ROOT: &str = "/run/berth";

/// The daemon's configuration.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Where the file is, and whether it was named.
    pub file: PathBuf,
    /// Everything that was given, by name.
    pub values: Values,
    /// Addresses to listen on.
    pub hosts: Vec<String>,
    /// Lasting state.
    pub data_root: PathBuf,
    /// State of running containers.
    pub exec_root: PathBuf,
    /// Where the process id is written.
    pub pidfile: PathBuf,
    /// `debug`, `info`, …
    pub log_level: String,
    /// Size of /dev/shm in bytes.
    pub shm_bytes: u64,
    /// Seconds between stop signal and SIGKILL.
    pub stop_timeout_s: i64,
    /// Ulimits of containers.
    pub ulimits: Vec<ResourcesUlimits>,
    /// Absolute, or a slice with systemd's driver.
    pub cgroup_parent: String,
    /// systemd makes the containers' cgroups.
    pub systemd_cgroup: bool,
    /// Replaces the built-in profile.
    pub seccomp_profile: Option<PathBuf>,
    /// Default log driver.
    pub log_driver: String,
    /// `overlay2`, `erofs` or `copy`.
    pub storage_driver: String,
    /// Images of layers are sealed with fs-verity.
    pub erofs_verity: bool,
    /// When unused images go by themselves.
    pub pressure: Option<berth_image::Watermarks>,
    /// What is required of images that come from registries.
    pub verification: berth_image::Verification,
    /// Networks.
    pub network: NetworkConfig,
    /// Sentences about options without effect.
    pub notes: Vec<String>,
}

impl Configuration {
    /// Reads the file that `flags` name, joins both and checks every value.
    ///
    /// # Errors
    /// A sentence that names the option.
    pub fn load(flags: &Values) -> Result<Self> {
        let usual = roots()?.config.display().to_string();
        let path = flags.text("config-file").unwrap_or(&usual);
        let from_file = file::read(Path::new(path), flags.text("config-file").is_some())?;
        file::refuse_conflicts(flags, &from_file)
            .with_context(|| format!("unable to configure the daemon with file {path}"))?;
        let mut values = from_file;
        values.0.extend(flags.0.iter().map(|(name, value)| (*name, value.clone())));
        Self::read(PathBuf::from(path), values)
    }

    fn read(file: PathBuf, values: Values) -> Result<Self> {
        refuse(&values)?;
        check_labels(&values)?;
        check_rootless(&values)?;
        let roots = roots()?;
        let root = |name: &str, usual: PathBuf| values.text(name).map_or(Ok(usual), absolute);
        let exec_root = root("exec-root", roots.exec)?;
        let hosts = match values.list("hosts") {
            hosts if hosts.is_empty() => vec![format!("unix://{}", exec_root.join("berth.sock").display())],
            hosts => hosts,
        };
        let size = |text: &str| berth_kit::size::parse_bytes(text).ok().and_then(|bytes| u64::try_from(bytes).ok());
        let level = |text: &str| matches!(text, "debug" | "info" | "warn" | "error" | "fatal").then(|| text.to_owned());
        let log_level = values.parsed("log-level", level, "debug, info, warn, error or fatal")?;
        let log_driver = values.text("log-driver").unwrap_or("json-file").to_owned();
        berth_log::validate(&log_driver, &values.map("log-opts")).context("invalid log-driver or log-opts")?;
        let driver = |text: &str| matches!(text, "overlay" | "overlay2" | "erofs" | "copy").then(|| text.to_owned());
        let systemd_cgroup = systemd_cgroup(&values.list("exec-opts"))?;
        let fits = |text: &str| if systemd_cgroup { text.ends_with(".slice") } else { text.starts_with('/') };
        let parent = |text: &str| fits(text).then(|| text.to_owned());
        let (wanted, usual) = match systemd_cgroup {
            true => ("with systemd's driver it must be a slice, such as my.slice", "system.slice"),
            false => ("it must be an absolute cgroup path", "/berth"),
        };
        let delegated = if rootless::is_inside() { berth_runtime::cgroup::delegated() } else { None };
        let usual = delegated.unwrap_or_else(|| usual.to_owned());
        let profile =
            values.text("seccomp-profile").filter(|profile| *profile != "builtin").map(absolute).transpose()?;
        if let Some(profile) = &profile {
            std::fs::metadata(profile).with_context(|| format!("cannot read seccomp-profile {}", profile.display()))?;
        }
        Ok(Self {
            file,
            hosts,
            data_root: root("data-root", roots.data)?,
            pidfile: values.text("pidfile").map(absolute).transpose()?.unwrap_or_else(|| exec_root.join("berth.pid")),
            exec_root,
            log_level: log_level.unwrap_or_else(|| if values.flag("debug") { "debug" } else { "info" }.to_owned()),
            shm_bytes: values.parsed("default-shm-size", size, "it must be a size such as 64M")?.unwrap_or(64 << 20),
            stop_timeout_s: values.number("default-stop-timeout").unwrap_or(10),
            ulimits: ulimits(&values)?,
            cgroup_parent: values.parsed("cgroup-parent", parent, wanted)?.unwrap_or(usual),
            systemd_cgroup,
            seccomp_profile: profile,
            log_driver,
            storage_driver: values
                .parsed("storage-driver", driver, "the storage drivers are overlay2, erofs and copy")?
                .unwrap_or_else(|| "overlay2".to_owned()),
            erofs_verity: storage::erofs_verity(&values)?,
            pressure: storage::pressure(&values)?,
            network: network::config(&values)?,
            verification: verification(&values)?,
            notes: notes(&values),
            values,
        })
    }

    /// Reads the file again and takes over what may change while the daemon runs.
    ///
    /// # Errors
    /// As [`Configuration::load`]; nothing changes then.
    pub fn reloaded(&self, flags: &Values) -> Result<Self> {
        let fresh = Self::load(flags)?;
        let mut next = self.clone();
        for option in OPTIONS.iter().filter(|option| option.reloads) {
            match fresh.values.0.get(option.name()) {
                Some(value) => next.values.0.insert(option.name(), value.clone()),
                None => next.values.0.remove(option.name()),
            };
        }
        next.log_level = fresh.log_level;
        next.verification = fresh.verification;
        next.pressure = fresh.pressure;
        Ok(next)
    }

    /// Says which options have no effect.
    pub fn announce(&self) {
        for note in &self.notes {
            tracing::warn!("{note}");
        }
    }

    /// Options of the default log driver.
    pub fn log_options(&self) -> HashMap<String, String> {
        self.values.map("log-opts").into_iter().collect()
    }
}

/// Where things are when nothing else is said.
fn roots() -> Result<Roots> {
    if rootless::is_needed() || rootless::is_inside() {
        return rootless::roots();
    }
    Ok(Roots { data: DATA_ROOT.into(), exec: EXEC_ROOT.into(), config: CONFIG_FILE.into() })
}

/// What cannot be without root, and the other way round.
fn check_rootless(values: &Values) -> Result<()> {
    let is_rootless = rootless::is_needed() || rootless::is_inside();
    if values.flag("rootless") && !is_rootless {
        bail!("rootless: the daemon was started by root; start it as the user whose containers they are to be");
    }
    if !is_rootless {
        return Ok(());
    }
    if values.text("storage-driver") == Some("erofs") {
        bail!("storage-driver erofs needs root, as only root may mount images; use overlay2");
    }
    if let Some(host) = values.list("hosts").iter().find(|host| host.starts_with("tcp://")) {
        bail!("host {host}: without root the daemon is in a network of its own; give it a unix:// socket");
    }
    if values.text("group").is_some() {
        bail!("group: without root the socket is its user's alone");
    }
    Ok(())
}

/// Who makes the containers' cgroups: `native.cgroupdriver`.
fn systemd_cgroup(options: &[String]) -> Result<bool> {
    let mut is_systemd = false;
    for option in options {
        match option.split_once('=') {
            Some(("native.cgroupdriver", "cgroupfs")) => is_systemd = false,
            Some(("native.cgroupdriver", "systemd")) => is_systemd = true,
            Some(("native.cgroupdriver", other)) => {
                bail!("invalid exec-opt: native.cgroupdriver is cgroupfs or systemd, not {other}")
            }
            _ => bail!("invalid exec-opt {option:?}: native.cgroupdriver=cgroupfs|systemd is known"),
        }
    }
    if is_systemd && !berth_runtime::cgroup::systemd_is_booted() {
        bail!("exec-opt native.cgroupdriver=systemd: systemd does not run here; use cgroupfs");
    }
    Ok(is_systemd)
}

/// The section `policy`.
fn verification(values: &Values) -> Result<berth_image::Verification> {
    let Some(written) = values.0.get("policy") else { return Ok(berth_image::Verification::default()) };
    berth_image::Verification::parse(written).map_err(|reason| anyhow::anyhow!("invalid policy: {reason}"))
}

/// Refuses options whose absence of effect would be unsafe; one that says what is the case anyway is fine.
fn refuse(values: &Values) -> Result<()> {
    for option in OPTIONS {
        let Effect::Refused(why) = option.effect else { continue };
        match values.0.get(option.name()) {
            None | Some(Value::Bool(false)) => {}
            Some(Value::String(text)) if text.is_empty() => {}
            Some(Value::Array(list)) if list.is_empty() => {}
            Some(_) => bail!("{} is not supported: {why}", option.name()),
        }
    }
    Ok(())
}

fn notes(values: &Values) -> Vec<String> {
    let ignored = OPTIONS.iter().filter(|option| values.0.contains_key(option.name()));
    ignored
        .filter_map(|option| match option.effect {
            Effect::Ignored(why) => Some(format!("{} has no effect: {why}", option.name())),
            _ => None,
        })
        .collect()
}

fn check_labels(values: &Values) -> Result<()> {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for label in values.list("labels") {
        let (key, value) = label.split_once('=').ok_or_else(|| anyhow!("bad attribute format: {label}"))?;
        if seen.insert(key.to_owned(), value.to_owned()).is_some_and(|before| before != value) {
            bail!("conflict labels for {key}={value}");
        }
    }
    Ok(())
}

/// Flags give `nofile=1024:2048`, the file `{"nofile": {"Name": "nofile", "Hard": 2048, "Soft": 1024}}`.
fn ulimits(values: &Values) -> Result<Vec<ResourcesUlimits>> {
    let Some(value) = values.0.get("default-ulimits") else { return Ok(Vec::new()) };
    match value {
        Value::Object(map) => map.iter().map(|(name, limit)| ulimit_object(name, limit)).collect(),
        _ => values.list("default-ulimits").iter().map(|text| ulimit_text(text)).collect(),
    }
}

fn ulimit_object(name: &str, limit: &Value) -> Result<ResourcesUlimits> {
    let number = |key: &str| limit.get(key).and_then(Value::as_i64);
    let (Some(soft), Some(hard)) = (number("Soft"), number("Hard")) else {
        bail!("invalid value for default-ulimits: {name} needs whole numbers Soft and Hard");
    };
    Ok(ResourcesUlimits { name: Some(name.to_owned()), soft: Some(soft), hard: Some(hard) })
}

fn ulimit_text(text: &str) -> Result<ResourcesUlimits> {
    let read = || {
        let (name, limits) = text.split_once('=')?;
        let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
        let (soft, hard): (i64, i64) = (soft.parse().ok()?, hard.parse().ok()?);
        (!name.is_empty()).then(|| ResourcesUlimits { name: Some(name.to_owned()), soft: Some(soft), hard: Some(hard) })
    };
    read().ok_or_else(|| anyhow!("invalid value {text:?} for default-ulimit: it must be name=soft[:hard]"))
}

fn absolute(path: &str) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot use the path {path:?}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(pairs: &[(&'static str, Value)]) -> Result<Configuration> {
        Configuration::read(CONFIG_FILE.into(), Values(pairs.iter().cloned().collect()))
    }

    #[test]
    fn defaults() {
        let configuration = read(&[]).unwrap();
        assert_eq!(configuration.hosts, ["unix:///run/berth/berth.sock"]);
        assert_eq!((configuration.shm_bytes, configuration.stop_timeout_s), (64 << 20, 10));
        assert!(configuration.notes.is_empty());
    }

    #[test]
    fn wrong_values_are_refused_by_name() {
        for (name, value) in [
            ("labels", json!(["alone"])),
            ("default-shm-size", json!("much")),
            ("cgroup-parent", json!("relative")),
            ("storage-driver", json!("zfs")),
            ("log-level", json!("loud")),
            ("default-ulimits", json!({"nofile": {"Soft": 1}})),
            ("default-ulimits", json!(["nofile"])),
            ("selinux-enabled", json!(true)),
            ("bip", json!("300.1.1.1/8")),
            ("default-address-pools", json!([{"base": "x", "size": 24}])),
            ("authorization-plugins", json!(["x"])),
        ] {
            let error = format!("{:#}", read(&[(name, value)]).unwrap_err());
            let singular = name.trim_end_matches('s');
            assert!(error.contains(singular) || error.contains("attribute"), "{name}: {error}");
        }
    }

    #[test]
    fn options_without_effect_are_told() {
        let configuration = read(&[("containerd", json!("/x")), ("selinux-enabled", json!(false))]).unwrap();
        assert_eq!(configuration.notes.len(), 1);
    }
}
