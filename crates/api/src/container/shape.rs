//! An inspected container in the shape that clients know: every key is there, also of what nobody asked for.
//!
//! Clients in languages without types look keys up without asking whether they exist. The model leaves empty ones out.

use serde_json::{Map, Value, json};

use crate::version::Version;

/// Fills in what is missing, as clients of `version` expect it.
pub fn complete(container: &mut Value, version: Version) {
    fill(container, &json!({"ExecIDs": null, "AppArmorProfile": ""}));
    if let Some(config) = container.get_mut("Config") {
        fill(config, &config_defaults());
    }
    if let Some(host) = container.get_mut("HostConfig") {
        complete_host(host);
    }
    let Some(Value::Object(settings)) = container.get_mut("NetworkSettings") else { return };
    if let Some(Value::Object(networks)) = settings.get_mut("Networks") {
        networks.values_mut().for_each(|endpoint| fill(endpoint, &endpoint_defaults()));
    }
    if version < Version::new(1, 52) {
        add_default_bridge(settings);
    }
}

/// Adds the keys of `defaults` that `value` lacks.
pub fn fill(value: &mut Value, defaults: &Value) {
    let (Value::Object(map), Value::Object(defaults)) = (value, defaults) else { return };
    for (key, default) in defaults {
        if !map.contains_key(key) {
            map.insert(key.clone(), default.clone());
        }
    }
}

fn complete_host(host: &mut Value) {
    fill(host, &host_defaults());
    fill(host, &resource_defaults());
    let is = |host: &Value, key: &str| host[key].as_bool() == Some(true);
    let (masked, read_only) = match is(host, "Privileged") {
        true => (Value::Null, Value::Null),
        false => (json!(berth_container::MASKED_PATHS), json!(berth_container::READ_ONLY_PATHS)),
    };
    fill(host, &json!({"MaskedPaths": masked, "ReadonlyPaths": read_only}));
    for (key, default) in [("IpcMode", "private"), ("CgroupnsMode", "private"), ("Runtime", "berth")] {
        if host[key].as_str() == Some("") {
            host[key] = json!(default);
        }
    }
}

fn config_defaults() -> Value {
    json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false,
        "AttachStderr": false, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": [], "Cmd": null,
        "Image": "", "Volumes": null, "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": {},
    })
}

fn host_defaults() -> Value {
    json!({
        "Binds": null, "ContainerIDFile": "", "PortBindings": {}, "AutoRemove": false, "VolumeDriver": "",
        "VolumesFrom": null, "ConsoleSize": [0, 0], "CapAdd": null, "CapDrop": null, "CgroupnsMode": "", "Dns": [],
        "DnsOptions": [], "DnsSearch": [], "ExtraHosts": null, "GroupAdd": null, "IpcMode": "", "Cgroup": "",
        "Links": null, "OomScoreAdj": 0, "PidMode": "", "Privileged": false, "PublishAllPorts": false,
        "ReadonlyRootfs": false, "SecurityOpt": null, "UTSMode": "", "UsernsMode": "", "Runtime": "", "Isolation": "",
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    })
}

fn resource_defaults() -> Value {
    json!({
        "CpuShares": 0, "Memory": 0, "NanoCpus": 0, "CgroupParent": "", "BlkioWeight": 0, "BlkioWeightDevice": null,
        "BlkioDeviceReadBps": null, "BlkioDeviceWriteBps": null, "BlkioDeviceReadIOps": null,
        "BlkioDeviceWriteIOps": null, "CpuPeriod": 0, "CpuQuota": 0, "CpuRealtimePeriod": 0, "CpuRealtimeRuntime": 0,
        "CpusetCpus": "", "CpusetMems": "", "Devices": null, "DeviceCgroupRules": null, "DeviceRequests": null,
        "MemoryReservation": 0, "MemorySwap": 0, "MemorySwappiness": null, "OomKillDisable": null, "PidsLimit": null,
        "Ulimits": null, "CpuCount": 0, "CpuPercent": 0, "IOMaximumIOps": 0, "IOMaximumBandwidth": 0,
    })
}

fn endpoint_defaults() -> Value {
    json!({"IPAMConfig": null, "Links": null, "Aliases": null, "DriverOpts": null, "DNSNames": null})
}

/// Up to API 1.51 the endpoint on the default bridge also stood outside `Networks`.
fn add_default_bridge(settings: &mut Map<String, Value>) {
    let bridge = settings.get("Networks").and_then(|networks| networks.get("bridge")).cloned().unwrap_or_default();
    for key in ["EndpointID", "Gateway", "GlobalIPv6Address", "IPAddress", "IPv6Gateway", "MacAddress"] {
        let text = bridge.get(key).filter(|value| value.is_string()).cloned();
        settings.insert(key.to_owned(), text.unwrap_or_else(|| json!("")));
    }
    for key in ["GlobalIPv6PrefixLen", "IPPrefixLen"] {
        let number = bridge.get(key).filter(|value| value.is_number()).cloned();
        settings.insert(key.to_owned(), number.unwrap_or_else(|| json!(0)));
    }
    for (key, value) in [
        ("Bridge", json!("")),
        ("HairpinMode", json!(false)),
        ("LinkLocalIPv6Address", json!("")),
        ("LinkLocalIPv6PrefixLen", json!(0)),
        ("SecondaryIPAddresses", Value::Null),
        ("SecondaryIPv6Addresses", Value::Null),
    ] {
        settings.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_clients_find_the_address_where_it_was() {
        let mut settings = Map::new();
        settings.insert("Networks".to_owned(), json!({"bridge": {"IPAddress": "172.17.0.2", "IPPrefixLen": 16}}));
        add_default_bridge(&mut settings);
        assert_eq!(settings["IPAddress"], "172.17.0.2");
        assert_eq!((settings["IPPrefixLen"].as_i64(), settings["Gateway"].as_str()), (Some(16), Some("")));
    }

    #[test]
    fn what_is_there_stays() {
        let mut container = json!({
            "Config": {"Cmd": ["x"]},
            "HostConfig": {"CapAdd": ["ALL"], "IpcMode": "host", "Privileged": true},
            "NetworkSettings": {"Networks": {"mine": {"Aliases": ["a"]}}},
        });
        complete(&mut container, Version::NEWEST);
        assert_eq!((&container["Config"]["Cmd"], &container["Config"]["Entrypoint"]), (&json!(["x"]), &Value::Null));
        let host = &container["HostConfig"];
        assert_eq!(
            (&host["CapAdd"], &host["IpcMode"], &host["Binds"]),
            (&json!(["ALL"]), &json!("host"), &Value::Null)
        );
        assert_eq!((&host["MaskedPaths"], &host["Runtime"]), (&Value::Null, &json!("berth")));
        let endpoint = &container["NetworkSettings"]["Networks"]["mine"];
        assert_eq!((&endpoint["Aliases"], &endpoint["Links"]), (&json!(["a"]), &Value::Null));
        assert!(container["NetworkSettings"].get("IPAddress").is_none());
    }
}
