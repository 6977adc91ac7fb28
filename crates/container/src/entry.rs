//! Whether single entries of a request can be what they are for: words of a command, addresses, limits' names. Pure; what
//! the kernel would refuse at the start without naming it is refused at creation by the name of its field.

use std::net::IpAddr;

use berth_spec::{
    model::{ContainerConfig, HealthConfig, HostConfig},
    ulimit::NAMES,
};

use crate::{Error, Result};

fn invalid<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::Invalid(text.into()))
}

/// Refuses a NUL byte, which ends a text for the kernel.
///
/// # Errors
/// [`Error::Invalid`] with the field's name.
pub fn no_nul<'a>(field: &str, texts: impl IntoIterator<Item = &'a str>) -> Result<()> {
    match texts.into_iter().any(|text| text.contains('\0')) {
        true => invalid(format!("invalid {field}: it contains a NUL byte")),
        false => Ok(()),
    }
}

/// Checks the entries of the portable settings.
///
/// # Errors
/// [`Error::Invalid`].
pub fn config(config: &ContainerConfig) -> Result<()> {
    no_nul("Cmd", config.cmd.iter().flatten().map(String::as_str))?;
    no_nul("Entrypoint", config.entrypoint.iter().flatten().map(String::as_str))?;
    no_nul("User", config.user.as_deref())?;
    no_nul("WorkingDir", config.working_dir.as_deref())?;
    no_nul("Domainname", config.domainname.as_deref())?;
    config.healthcheck.as_ref().map_or(Ok(()), probe)
}

fn probe(check: &HealthConfig) -> Result<()> {
    let Some(test) = check.test.as_ref().filter(|test| !test.is_empty()) else { return Ok(()) };
    no_nul("Healthcheck", test.iter().map(String::as_str))?;
    match (test[0].as_str(), test.len()) {
        ("NONE" | "", 1) | ("CMD" | "CMD-SHELL", 2..) => Ok(()),
        (kind @ ("CMD" | "CMD-SHELL"), _) => invalid(format!("Test in Healthcheck has no command after {kind}")),
        ("NONE", _) => invalid("Test in Healthcheck cannot have a command after NONE"),
        (kind, _) => invalid(format!("unknown type of Test in Healthcheck: {kind} (use NONE, CMD or CMD-SHELL)")),
    }
}

/// Checks the entries of the settings that depend on the host.
///
/// # Errors
/// [`Error::Invalid`].
pub fn host(host: &HostConfig) -> Result<()> {
    limits(host)?;
    addresses(host)?;
    if let Some(parent) = host.cgroup_parent.as_deref() {
        no_nul("CgroupParent", [parent])?;
        if parent.split('/').any(|part| part == "..") {
            return invalid(format!("invalid CgroupParent {parent}: it leads out of its place by '..'"));
        }
    }
    for (field, paths) in [("MaskedPaths", &host.masked_paths), ("ReadonlyPaths", &host.readonly_paths)] {
        no_nul(field, paths.iter().flatten().map(String::as_str))?;
        if let Some(path) = paths.iter().flatten().find(|path| !path.starts_with('/')) {
            return invalid(format!("invalid {field} {path}: it needs to be an absolute path"));
        }
    }
    Ok(())
}

fn limits(host: &HostConfig) -> Result<()> {
    for limit in host.ulimits.iter().flatten() {
        let name = limit.name.as_deref().unwrap_or_default();
        if !NAMES.contains(&name.to_ascii_lowercase().as_str()) {
            return invalid(format!("invalid ulimit type: {name}"));
        }
        let (soft, hard) = (limit.soft.unwrap_or(0), limit.hard.unwrap_or(0));
        if soft < -1 || hard < -1 {
            return invalid(format!("invalid ulimit {name}: a limit is -1 (none) or more"));
        }
        if hard != -1 && (soft == -1 || soft > hard) {
            return invalid(format!(
                "ulimit {name}: soft limit must be less than or equal to hard limit: {soft} > {hard}"
            ));
        }
    }
    let rates = [
        ("BlkioDeviceReadBps", &host.blkio_device_read_bps),
        ("BlkioDeviceWriteBps", &host.blkio_device_write_bps),
        ("BlkioDeviceReadIOps", &host.blkio_device_read_iops),
        ("BlkioDeviceWriteIOps", &host.blkio_device_write_iops),
    ];
    for (field, devices) in rates {
        if devices.iter().flatten().any(|device| device.rate.is_some_and(|rate| rate < 0)) {
            return invalid(format!("invalid {field}: a rate cannot be negative"));
        }
    }
    if host.memory_swap.is_some_and(|swap| swap < -1) {
        return invalid("invalid MemorySwap: it is -1 (no limit), 0 (not set) or a number of bytes");
    }
    let (period, runtime) = (host.cpu_realtime_period.unwrap_or(0), host.cpu_realtime_runtime.unwrap_or(0));
    if period != 0 && runtime > period {
        return invalid("cpu real-time runtime cannot be higher than cpu real-time period");
    }
    Ok(())
}

fn addresses(host: &HostConfig) -> Result<()> {
    if let Some(dns) = host.dns.iter().flatten().find(|dns| dns.parse::<IpAddr>().is_err()) {
        return invalid(format!("invalid Dns {dns}: it is not an IP address"));
    }
    if let Some(domain) = host.dns_search.iter().flatten().find(|name| name.contains(char::is_whitespace)) {
        return invalid(format!("invalid DnsSearch {domain}: it is not a domain"));
    }
    for entry in host.extra_hosts.iter().flatten() {
        let Some((name, address)) = entry.split_once(':').filter(|(name, _)| !name.is_empty()) else {
            return invalid(format!("bad format for add-host: \"{entry}\""));
        };
        let address = address.trim_start_matches('[').trim_end_matches(']');
        if address != "host-gateway" && address.parse::<IpAddr>().is_err() {
            return invalid(format!("invalid IP address in add-host: \"{address}\" for {name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use berth_spec::model::ResourcesUlimits;

    use super::*;

    fn said(outcome: Result<()>) -> String {
        outcome.err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_nul_byte_is_refused_by_field() {
        let with = |cmd: &str| ContainerConfig { cmd: Some(vec![cmd.to_owned()]), ..ContainerConfig::default() };
        assert!(said(config(&with("a\0b"))).contains("Cmd"));
        assert_eq!(said(config(&with("ab"))), "");
    }

    #[test]
    fn health_tests() {
        let check = |test: &[&str]| {
            let test = Some(test.iter().map(|word| (*word).to_owned()).collect());
            said(probe(&HealthConfig { test, ..HealthConfig::default() }))
        };
        for test in [&["NONE"][..], &["CMD", "x"], &["CMD-SHELL", "x"], &[]] {
            assert_eq!(check(test), "", "{test:?}");
        }
        for test in [&["FOO", "x"][..], &["CMD"], &["CMD-SHELL"], &["NONE", "x"], &["CMD", "\0"]] {
            assert!(check(test).contains("Healthcheck"), "{test:?}");
        }
    }

    #[test]
    fn limits_that_cannot_be() {
        let limit = |name: &str, soft, hard| {
            let limit = ResourcesUlimits { name: Some(name.to_owned()), soft: Some(soft), hard: Some(hard) };
            said(host(&HostConfig { ulimits: Some(vec![limit]), ..HostConfig::default() }))
        };
        assert_eq!(limit("nofile", 5, 5), "");
        assert_eq!(limit("core", -1, -1), "");
        assert_eq!(limit("nproc", 5, -1), "");
        assert_eq!(limit("foo", 1, 1), "invalid ulimit type: foo");
        assert!(limit("nofile", 5, 1).contains("5 > 1"));
        assert!(limit("nofile", -1, 1).contains("soft limit"));
        assert!(limit("nofile", -5, 1).contains("nofile"));
    }

    #[test]
    fn addresses_that_are_none() {
        let with = |dns: &str, extra: &str| {
            said(host(&HostConfig {
                dns: Some(vec![dns.to_owned()]),
                extra_hosts: Some(vec![extra.to_owned()]),
                ..HostConfig::default()
            }))
        };
        for extra in ["a:1.2.3.4", "a:::1", "a:[::1]", "a:host-gateway"] {
            assert_eq!(with("::1", extra), "", "{extra}");
        }
        assert!(with("x", "a:1.2.3.4").contains("Dns"));
        for extra in ["a", ":1.2.3.4", "a:zz", "a:"] {
            assert!(with("1.1.1.1", extra).contains("add-host"), "{extra}");
        }
    }

    #[test]
    fn a_parent_of_cgroups_stays_in_its_place() {
        let parent =
            |text: &str| said(host(&HostConfig { cgroup_parent: Some(text.to_owned()), ..HostConfig::default() }));
        assert_eq!(parent("/a/b.slice"), "");
        assert!(parent("../x").contains("CgroupParent"));
        assert!(parent("a/../../x").contains("CgroupParent"));
    }
}
