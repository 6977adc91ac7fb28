//! What the host and this binary are, for `version` and `info`.

use std::{fs, path::Path};

use berth_api::Facts;
use berth_runtime::cgroup;
use berth_sys::user_namespace;

use super::{configuration::Configuration, listen::Listeners};
use crate::rootless;

/// The commit this was built from, when the build says so.
pub const COMMIT: &str = match option_env!("BERTH_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};
const BUILT_AT: &str = match option_env!("BERTH_BUILT_AT") {
    Some(at) => at,
    None => "",
};
const COMPILER: &str = match option_env!("BERTH_COMPILER") {
    Some(compiler) => compiler,
    None => "rustc",
};

/// Looks around. Missing files leave gaps; nothing here is worth a failed start.
pub fn gather(configuration: &Configuration, listeners: &Listeners) -> Facts {
    let uname = rustix::system::uname();
    let architecture = uname.machine().to_string_lossy().into_owned();
    let mut facts = Facts {
        id: installation(&configuration.data_root),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: COMMIT.to_owned(),
        built_at: BUILT_AT.to_owned(),
        compiler: COMPILER.to_owned(),
        kernel: uname.release().to_string_lossy().into_owned(),
        hostname: uname.nodename().to_string_lossy().into_owned(),
        go_architecture: go_architecture(&architecture).to_owned(),
        architecture,
        cpus: cpus(),
        memory_bytes: memory_bytes(),
        data_root: configuration.data_root.display().to_string(),
        storage_driver: configuration.storage_driver.clone(),
        backing_filesystem: filesystem(&configuration.data_root).to_owned(),
        log_drivers: ["json-file", "local", "journald", "syslog", "none"].map(str::to_owned).to_vec(),
        log_driver: configuration.log_driver.clone(),
        systemd_cgroup: configuration.systemd_cgroup,
        address_pools: pools(configuration),
        ..Facts::default()
    };
    (facts.operating_system, facts.os_version) = operating_system();
    let profile =
        configuration.seccomp_profile.as_ref().map_or("builtin".to_owned(), |path| path.display().to_string());
    facts.security_options =
        vec![format!("name=seccomp,profile={profile}"), "name=userns".to_owned(), "name=cgroupns".to_owned()];
    if configuration.values.flag("no-new-privileges") {
        facts.security_options.push("name=no-new-privileges".to_owned());
    }
    facts.warnings.clone_from(&listeners.warnings);
    facts.maps_ids = !user_namespace::is_nested();
    facts.no_cgroups = !cgroup::are_usable();
    if rootless::is_inside() {
        facts.security_options.push("name=rootless".to_owned());
        facts.warnings.extend(limits_without_root(configuration, &facts));
    }
    add_cgroups(&mut facts);
    facts
}

/// What an engine without root cannot do here, and why.
fn limits_without_root(configuration: &Configuration, facts: &Facts) -> Vec<String> {
    let mut limits = Vec::new();
    if facts.no_cgroups {
        limits.push(
            "WARNING: Running in rootless mode without cgroups: no limits, no pause, no usage. They need cgroup v2, \
             delegated to this user (systemd: start the daemon as a user service with Delegate=yes)"
                .to_owned(),
        );
    }
    match rootless::uplink_kind(&configuration.exec_root) {
        Some(kind) => limits.push(format!(
            "WARNING: Running in rootless mode: the network goes through {kind}, and published ports through berth \
             itself, so that containers see no client's own address"
        )),
        None => limits.push(
            "WARNING: Running in rootless mode without a way to other machines: install pasta (passt) or slirp4netns"
                .to_owned(),
        ),
    }
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap_or_default();
    let first: u16 = first.trim().parse().unwrap_or(1024);
    if first > 1 {
        limits.push(format!(
            "WARNING: Running in rootless mode: ports below {first} cannot be published \
             (sysctl net.ipv4.ip_unprivileged_port_start)"
        ));
    }
    let ids = user_namespace::ids();
    if ids < 65_536 {
        limits.push(format!("WARNING: Running in rootless mode with {ids} ids: images may want 65536 (/etc/subuid)"));
    }
    limits
}

fn add_cgroups(facts: &mut Facts) {
    let found = cgroup::available();
    let offers = [
        ("memory", found.memory),
        ("cpu", found.cpu),
        ("cpuset", found.cpuset),
        ("pids", found.pids),
        ("blkio", found.blkio_throttle),
    ];
    let offered = offers.into_iter().filter(|(_, offered)| *offered);
    facts.controllers = offered.map(|(name, _)| name.to_owned()).collect();
    facts.cgroup_version = if found.version.docker() == "2" { 2 } else { 1 };
    facts.swap_limit = found.swap;
    facts.warnings.extend(found.warnings());
}

/// A random identifier, kept with the data.
fn installation(data_root: &Path) -> String {
    let path = data_root.join("engine-id");
    if let Ok(id) = fs::read_to_string(&path) {
        return id.trim().to_owned();
    }
    let id = berth_kit::id::generate();
    if let Err(error) = fs::write(&path, &id) {
        tracing::warn!(%error, path = %path.display(), "cannot keep the engine's identifier");
    }
    id
}

fn go_architecture(machine: &str) -> &str {
    match machine {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" | "armv6l" => "arm",
        "i686" | "i386" => "386",
        other => other,
    }
}

fn cpus() -> i64 {
    let set = rustix::thread::sched_getaffinity(None);
    set.map_or(1, |set| i64::from(set.count()))
}

fn memory_bytes() -> i64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<i64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// `PRETTY_NAME` and `VERSION_ID` of os-release(5).
fn operating_system() -> (String, String) {
    let text = fs::read_to_string("/etc/os-release").or_else(|_| fs::read_to_string("/usr/lib/os-release"));
    let text = text.unwrap_or_default();
    let find = |key: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.map(|value| value.trim_matches(['"', '\'']).to_owned())
    };
    (find("PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()), find("VERSION_ID").unwrap_or_default())
}

/// Name of the file system that holds `path`, by its magic number (statfs(2)).
fn filesystem(path: &Path) -> &'static str {
    match rustix::fs::statfs(path).map(|stat| stat.f_type as u64) {
        Ok(0xef53) => "extfs",
        Ok(0x5846_5342) => "xfs",
        Ok(0x9123_683e) => "btrfs",
        Ok(0x0102_1994) => "tmpfs",
        Ok(0x794c_7630) => "overlayfs",
        Ok(0x2fc1_2fc1) => "zfs",
        _ => "<unknown>",
    }
}

/// Shown when configured, as Docker does.
fn pools(configuration: &Configuration) -> Vec<berth_spec::model::SystemInfoDefaultAddressPools> {
    if !configuration.values.0.contains_key("default-address-pools") {
        return Vec::new();
    }
    let pools = configuration.network.default_pools.iter();
    pools
        .map(|pool| berth_spec::model::SystemInfoDefaultAddressPools {
            base: Some(pool.base.to_string()),
            size: Some(i64::from(pool.size)),
        })
        .collect()
}
