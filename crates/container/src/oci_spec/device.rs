//! Device nodes, and which devices may be used.

use std::path::Path;

use berth_spec::model::{DeviceMapping, HostConfig};
use rustix::fs::FileType;
use serde_json::{Value, json};

use crate::{Error, Result};

/// Depth to which a device directory is searched.
const DEPTH_MAX: u32 = 8;

/// The `devices` list beyond the default nodes: what the user named, or all of the host's when privileged.
pub fn list(host: &HostConfig, privileged: bool) -> Result<Vec<Value>> {
    let mut devices = Vec::new();
    if privileged {
        walk(Path::new("/dev"), Path::new("/dev"), "rwm", DEPTH_MAX, &mut devices);
    }
    for mapping in host.devices.iter().flatten() {
        add(mapping, &mut devices)?;
    }
    Ok(devices)
}

/// Checks the form of the user's devices; whether they are there is asked at the start.
pub fn check(host: &HostConfig) -> Result<()> {
    for mapping in host.devices.iter().flatten() {
        parts(mapping)?;
    }
    crate::device_request::check(host)
}

/// Host path, container path and access of a device.
fn parts(mapping: &DeviceMapping) -> Result<(&str, &str, &str)> {
    let source = mapping.path_on_host.as_deref().unwrap_or("");
    let target = mapping.path_in_container.as_deref().filter(|path| !path.is_empty()).unwrap_or(source);
    let access = mapping.cgroup_permissions.as_deref().filter(|text| !text.is_empty()).unwrap_or("rwm");
    if !access.bytes().all(|b| b"rwm".contains(&b)) {
        return Err(Error::Invalid(format!("invalid device mode: {access}")));
    }
    if !source.starts_with('/') || !target.starts_with('/') {
        return Err(Error::Invalid(format!("{source} is not an absolute path")));
    }
    Ok((source, target, access))
}

fn add(mapping: &DeviceMapping, devices: &mut Vec<Value>) -> Result<()> {
    let (source, target, access) = parts(mapping)?;
    // PATH: a device of the host, named by the user of the API.
    let resolved = std::fs::canonicalize(source).map_err(|error| {
        Error::Invalid(format!("error gathering device information while adding custom device \"{source}\": {error}"))
    })?;
    if resolved.is_dir() {
        walk(&resolved, Path::new(target), access, DEPTH_MAX, devices);
        return Ok(());
    }
    let node = node(&resolved, Path::new(target), access).ok_or_else(|| {
        Error::Invalid(format!(
            "error gathering device information while adding custom device \"{source}\": not a device node"
        ))
    })?;
    devices.push(node);
    Ok(())
}

fn walk(source: &Path, target: &Path, access: &str, depth: u32, devices: &mut Vec<Value>) {
    let Ok(entries) = std::fs::read_dir(source) else { return };
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        // These are the container's own.
        if matches!(name.to_str(), Some("pts" | "shm" | "fd" | "mqueue" | "console" | ".udev")) {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth > 0 => walk(&path, &target.join(name), access, depth - 1, devices),
            Ok(kind) if kind.is_dir() || kind.is_symlink() => {}
            _ => devices.extend(node(&path, &target.join(name), access)),
        }
    }
}

fn node(source: &Path, target: &Path, access: &str) -> Option<Value> {
    let stat = rustix::fs::stat(source).ok()?;
    let typ = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => "c",
        FileType::BlockDevice => "b",
        _ => return None,
    };
    Some(json!({
        "path": target,
        "type": typ,
        "major": rustix::fs::major(stat.st_rdev),
        "minor": rustix::fs::minor(stat.st_rdev),
        "fileMode": stat.st_mode & 0o777,
        "uid": 0,
        "gid": 0,
        "access": access,
    }))
}

/// The device rules: nothing but the default nodes, the named devices and the named rules.
pub fn rules(host: &HostConfig, privileged: bool, devices: &[Value]) -> Result<Value> {
    if privileged {
        return Ok(json!([{"allow": true, "access": "rwm"}]));
    }
    let mut rules = vec![json!({"allow": false, "access": "rwm"})];
    for (major, minor, access) in [
        (1, 5, "rwm"),
        (1, 3, "rwm"),
        (1, 9, "rwm"),
        (1, 8, "rwm"),
        (1, 7, "rwm"),
        (5, 0, "rwm"),
        (5, 1, "rwm"),
        (5, 2, "rwm"),
    ] {
        rules.push(json!({"allow": true, "type": "c", "major": major, "minor": minor, "access": access}));
    }
    rules.push(json!({"allow": true, "type": "c", "major": 136, "access": "rwm"}));
    // Making a node grants nothing; using it is what the rules above decide.
    rules.push(json!({"allow": true, "type": "c", "access": "m"}));
    rules.push(json!({"allow": true, "type": "b", "access": "m"}));
    for device in devices {
        rules.push(json!({
            "allow": true, "type": device["type"], "major": device["major"], "minor": device["minor"],
            "access": device["access"],
        }));
    }
    for text in host.device_cgroup_rules.iter().flatten() {
        rules.push(rule(text).ok_or_else(|| Error::Invalid(format!("invalid device cgroup rule: '{text}'")))?);
    }
    Ok(Value::Array(rules))
}

/// `c 13:* rwm`.
fn rule(text: &str) -> Option<Value> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let [typ @ ("a" | "b" | "c"), numbers, access] = parts[..] else { return None };
    let (major, minor) = numbers.split_once(':')?;
    let number = |text: &str| if text == "*" { Some(Value::Null) } else { text.parse::<u32>().ok().map(|n| json!(n)) };
    let mut rule = json!({"allow": true, "type": typ, "access": access});
    for (key, text) in [("major", major), ("minor", minor)] {
        match number(text)? {
            Value::Null => {}
            value => rule[key] = value,
        }
    }
    access.bytes().all(|b| b"rwm".contains(&b)).then_some(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        assert_eq!(rule("c 13:* rw"), Some(json!({"allow": true, "type": "c", "access": "rw", "major": 13})));
        for bad in ["", "c 1:3", "x 1:3 r", "c 1 r", "c a:3 r", "c 1:3 rx"] {
            assert_eq!(rule(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_missing_device_is_named() {
        let mapping = DeviceMapping { path_on_host: Some("/dev/none-such".into()), ..DeviceMapping::default() };
        assert!(add(&mapping, &mut Vec::new()).unwrap_err().to_string().contains("/dev/none-such"));
    }
}
