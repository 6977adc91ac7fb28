//! Whether a container can be made as asked. Pure; texts are Docker's where Docker has one.

use berth_spec::model::{ContainerConfig, HostConfig, RestartPolicyNameEnum};

use crate::{Error, Result, entry};

/// The smallest memory limit, in bytes.
const MEMORY_MIN: i64 = 6 << 20;
/// The shortest period of a health check, in nanoseconds.
const HEALTH_MIN_NS: i64 = 1_000_000;

fn invalid<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::Invalid(text.into()))
}

/// Checks a container's name.
pub fn name(name: &str) -> Result<()> {
    if berth_kit::name::is_valid(name) {
        return Ok(());
    }
    invalid(format!("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"))
}

/// Checks the portable settings after they were merged with the image's.
pub fn config(config: &ContainerConfig) -> Result<()> {
    entry::config(config)?;
    if let Some(entry) = config.env.iter().flatten().find(|entry| entry.starts_with('=') || entry.contains('\0')) {
        return invalid(format!("invalid environment variable: {entry}"));
    }
    if let Some(dir) = config.working_dir.as_deref().filter(|dir| !dir.is_empty() && !dir.starts_with('/')) {
        return invalid(format!("the working directory '{dir}' is invalid, it needs to be an absolute path"));
    }
    if let Some(host) = config.hostname.as_deref().filter(|host| !is_hostname(host)) {
        return invalid(format!("invalid hostname format: {host}"));
    }
    if let Some(signal) = config.stop_signal.as_deref().filter(|signal| !signal.is_empty()) {
        crate::kill::signal_number(signal)?;
    }
    for port in config.exposed_ports.iter().flatten() {
        crate::port::parse(port)?;
    }
    config.healthcheck.as_ref().map_or(Ok(()), health)
}

fn is_hostname(host: &str) -> bool {
    host.len() <= 64 && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

fn health(check: &berth_spec::model::HealthConfig) -> Result<()> {
    for (field, value) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
    ] {
        if value.is_some_and(|ns| ns != 0 && ns < HEALTH_MIN_NS) {
            return invalid(format!("{field} in Healthcheck cannot be less than 1ms"));
        }
    }
    if check.retries.is_some_and(|retries| retries < 0) {
        return invalid("Retries in Healthcheck cannot be negative");
    }
    Ok(())
}

/// Checks what cannot be set together with a namespace of the host or of another container, on a request as it came.
pub fn shared_namespaces(config: &ContainerConfig, host: &HostConfig) -> Result<()> {
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let listed = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    if host.uts_mode.as_deref() == Some("host") && given(&config.hostname) {
        return invalid("conflicting options: hostname and the UTS mode");
    }
    if !host.network_mode.as_deref().is_some_and(|mode| mode.starts_with("container:")) {
        return Ok(());
    }
    let published = host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty());
    let conflicts = [
        (given(&config.hostname), "hostname and the network mode"),
        (listed(&host.dns), "dns and the network mode"),
        (listed(&host.extra_hosts), "custom host-to-IP mapping and the network mode"),
        (published || host.publish_all_ports.unwrap_or(false), "port publishing and the container type network mode"),
        (listed(&config.exposed_ports), "port exposing and the container type network mode"),
    ];
    match conflicts.into_iter().find(|(conflicts, _)| *conflicts) {
        Some((_, what)) => invalid(format!("conflicting options: {what}")),
        None => Ok(()),
    }
}

/// Checks the settings that depend on the host.
pub fn host(host: &HostConfig) -> Result<()> {
    entry::host(host)?;
    memory(host)?;
    cpu(host)?;
    restart_policy(host)?;
    modes(host)?;
    throttles(host)?;
    if let Some(isolation) =
        host.isolation.filter(|isolation| !matches!(isolation.to_string().as_str(), "" | "default"))
    {
        return invalid(format!("invalid isolation '{isolation}' on linux"));
    }
    let has_links = host.links.as_ref().is_some_and(|links| !links.is_empty());
    if has_links && host.network_mode.as_deref() == Some("host") {
        return invalid(
            "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
        );
    }
    if has_links && host.network_mode.as_deref().is_some_and(|mode| mode.starts_with("container:")) {
        return invalid(
            "conflicting options: container type network can't be used with links. This would result in undefined behavior",
        );
    }
    if host.shm_size.is_some_and(|bytes| bytes < 0) {
        return invalid("SHM size can not be less than 0");
    }
    if host.oom_score_adj.is_some_and(|score| !(-1000..=1000).contains(&score)) {
        let score = host.oom_score_adj.unwrap_or(0);
        return invalid(format!("Invalid value {score}, range for oom score adj is [-1000, 1000]"));
    }
    if host.blkio_weight.is_some_and(|weight| weight != 0 && !(10..=1000).contains(&weight)) {
        return invalid("Range of blkio weight is from 10 to 1000");
    }
    if host.pids_limit.is_some_and(|limit| limit < -1) {
        return invalid(format!("invalid pids limit {}", host.pids_limit.unwrap_or(0)));
    }
    sysctls(host)?;
    bindings(host)?;
    for (path, _) in host.tmpfs.iter().flatten() {
        if !path.starts_with('/') {
            return invalid(format!("invalid mount path: '{path}' mount path must be absolute"));
        }
    }
    log(host)
}

fn memory(host: &HostConfig) -> Result<()> {
    let memory = host.memory.unwrap_or(0);
    let swap = host.memory_swap.unwrap_or(0);
    let reservation = host.memory_reservation.unwrap_or(0);
    if memory != 0 && memory < MEMORY_MIN {
        return invalid("Minimum memory limit allowed is 6MB");
    }
    if memory > 0 && swap > 0 && swap < memory {
        return invalid("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if memory == 0 && swap > 0 {
        return invalid("You should always set the Memory limit when using Memoryswap limit, see usage");
    }
    if let Some(value) = host.memory_swappiness.filter(|value| !(-1..=100).contains(value)) {
        return invalid(format!("invalid value: {value}, valid memory swappiness range is 0-100"));
    }
    if reservation != 0 && reservation < MEMORY_MIN {
        return invalid("Minimum memory reservation allowed is 6MB");
    }
    if memory > 0 && memory < reservation {
        return invalid("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
    Ok(())
}

fn cpu(host: &HostConfig) -> Result<()> {
    let nano = host.nano_cpus.unwrap_or(0);
    let (period, quota) = (host.cpu_period.unwrap_or(0), host.cpu_quota.unwrap_or(0));
    if nano != 0 && period != 0 {
        return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    if nano != 0 && quota != 0 {
        return invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    }
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if nano < 0 || (nano != 0 && nano < 10_000_000) || nano > i64::try_from(cpus).unwrap_or(1) * 1_000_000_000 {
        return invalid(format!("range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"));
    }
    if period != 0 && !(1_000..=1_000_000).contains(&period) {
        return invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
    }
    if quota > 0 && quota < 1_000 {
        return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    if host.cpu_shares.is_some_and(|shares| shares < 0) {
        return invalid(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            host.cpu_shares.unwrap_or(0)
        ));
    }
    for (field, value, online) in [
        ("cpus", &host.cpuset_cpus, "/sys/devices/system/cpu/online"),
        ("mems", &host.cpuset_mems, "/sys/devices/system/node/online"),
    ] {
        let Some(list) = value.as_deref().filter(|list| !list.is_empty()) else { continue };
        let wanted = numbers(list).ok_or_else(|| Error::Invalid(format!("Invalid value {list} for cpuset {field}")))?;
        let available = std::fs::read_to_string(online).unwrap_or_else(|_| "0".to_owned());
        let there = numbers(available.trim()).unwrap_or_default();
        if !wanted.is_subset(&there) {
            let what = if field == "cpus" { "CPUs" } else { "memory nodes" };
            return invalid(format!(
                "Requested {what} are not available - requested {list}, available: {}",
                available.trim()
            ));
        }
    }
    Ok(())
}

/// The numbers of `0-3,5` (cpuset(7), "List format").
fn numbers(list: &str) -> Option<std::collections::BTreeSet<u16>> {
    let mut all = std::collections::BTreeSet::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = first.trim().parse::<u16>().ok()?..=last.trim().parse::<u16>().ok()?;
        if range.is_empty() || range.end() - range.start() > 4096 {
            return None;
        }
        all.extend(range);
    }
    Some(all)
}

/// Checks a restart policy together with auto-remove.
pub fn restart_policy(host: &HostConfig) -> Result<()> {
    let Some(policy) = &host.restart_policy else { return Ok(()) };
    let retries = policy.maximum_retry_count.unwrap_or(0);
    let name = policy.name.unwrap_or(RestartPolicyNameEnum::EMPTY);
    if retries < 0 {
        return invalid("invalid restart policy: maximum retry count cannot be negative");
    }
    if retries > 0 && name != RestartPolicyNameEnum::ON_FAILURE {
        return invalid("invalid restart policy: maximum retry count can only be used with 'on-failure'");
    }
    let restarts = !matches!(name, RestartPolicyNameEnum::EMPTY | RestartPolicyNameEnum::NO);
    if restarts && host.auto_remove.unwrap_or(false) {
        return invalid("can't create 'AutoRemove' container with restart policy");
    }
    Ok(())
}

/// A limit for a device that is not there would silently limit nothing.
fn throttles(host: &HostConfig) -> Result<()> {
    let rates = [
        &host.blkio_device_read_bps,
        &host.blkio_device_write_bps,
        &host.blkio_device_read_iops,
        &host.blkio_device_write_iops,
    ];
    let throttled = rates.into_iter().flatten().flatten().filter_map(|device| device.path.as_deref());
    let weighted = host.blkio_weight_device.iter().flatten().filter_map(|device| device.path.as_deref());
    for path in throttled.chain(weighted) {
        if crate::oci_spec::resource::device_number(path).is_none() {
            return invalid(format!("cannot limit block device {path}: no such file or directory"));
        }
    }
    Ok(())
}

fn modes(host: &HostConfig) -> Result<()> {
    let check = |what: &str, mode: &Option<String>, known: &[&str], joinable: bool| {
        let mode = mode.as_deref().unwrap_or("");
        let joins = joinable && mode.strip_prefix("container:").is_some_and(|name| !name.is_empty());
        if known.contains(&mode) || joins { Ok(()) } else { invalid(format!("invalid {what} mode: {mode}")) }
    };
    check("PID", &host.pid_mode, &["", "host", "private"], true)?;
    check("IPC", &host.ipc_mode, &["", "none", "private", "shareable", "host"], true)?;
    check("UTS", &host.uts_mode, &["", "host", "private"], false)?;
    check("user namespace", &host.userns_mode, &["", "host", "private"], false)?;
    if host.privileged.unwrap_or(false) && host.userns_mode.as_deref() == Some("private") {
        return invalid(
            "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
        );
    }
    Ok(())
}

fn sysctls(host: &HostConfig) -> Result<()> {
    const IPC: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    for key in host.sysctls.iter().flatten().map(|(key, _)| key.as_str()) {
        let ipc = IPC.contains(&key) || key.starts_with("fs.mqueue.");
        let net = key.starts_with("net.");
        if !ipc && !net {
            return invalid(format!("invalid argument: sysctl '{key}' is not whitelisted"));
        }
        if net && host.network_mode.as_deref() == Some("host") {
            return invalid(format!("sysctl '{key}' not allowed in host network namespace"));
        }
        if ipc && host.ipc_mode.as_deref() == Some("host") {
            return invalid(format!("sysctl '{key}' not allowed in host ipc namespace"));
        }
    }
    Ok(())
}

fn bindings(host: &HostConfig) -> Result<()> {
    for (port, bindings) in host.port_bindings.iter().flatten() {
        crate::port::parse(port)?;
        for binding in bindings.iter().flatten() {
            crate::port::parse_host(binding)?;
        }
    }
    Ok(())
}

fn log(host: &HostConfig) -> Result<()> {
    let Some(log) = &host.log_config else { return Ok(()) };
    let driver = log.typ.as_deref().unwrap_or("");
    if driver.is_empty() {
        return Ok(());
    }
    let options = log.config.clone().unwrap_or_default();
    berth_log::validate(driver, &options.into_iter().collect()).map_err(|error| Error::Invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_host_settings_name_their_field() {
        let cases: Vec<(HostConfig, &str)> = vec![
            (HostConfig { memory: Some(1), ..HostConfig::default() }, "memory limit"),
            (HostConfig { memory_swap: Some(1 << 30), ..HostConfig::default() }, "Memoryswap"),
            (HostConfig { nano_cpus: Some(1 << 50), ..HostConfig::default() }, "range of CPUs"),
            (HostConfig { cpuset_cpus: Some("0-x".into()), ..HostConfig::default() }, "cpuset cpus"),
            (HostConfig { pid_mode: Some("container:".into()), ..HostConfig::default() }, "PID mode"),
            (HostConfig { shm_size: Some(-1), ..HostConfig::default() }, "SHM"),
            (HostConfig { blkio_weight: Some(5), ..HostConfig::default() }, "blkio weight"),
            (
                HostConfig { sysctls: Some([("kernel.panic".into(), "1".into())].into()), ..HostConfig::default() },
                "kernel.panic",
            ),
            (HostConfig { tmpfs: Some([("tmp".into(), String::new())].into()), ..HostConfig::default() }, "absolute"),
            (HostConfig { port_bindings: Some([("x/tcp".into(), None)].into()), ..HostConfig::default() }, "port"),
        ];
        for (settings, field) in cases {
            let error = host(&settings).unwrap_err().to_string();
            assert!(error.contains(field), "{error:?} should name {field:?}");
        }
        host(&HostConfig::default()).unwrap();
    }

    #[test]
    fn an_empty_hostname_is_none() {
        let host = HostConfig { network_mode: Some("container:x".into()), ..HostConfig::default() };
        let named = |name: &str| ContainerConfig { hostname: Some(name.into()), ..ContainerConfig::default() };
        shared_namespaces(&named(""), &host).unwrap();
        assert!(shared_namespaces(&named("h"), &host).is_err());
    }
}
