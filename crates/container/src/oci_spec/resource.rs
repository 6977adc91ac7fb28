//! Limits: from Docker's host settings to the specification's `resources`.

use berth_spec::model::{HostConfig, ThrottleDevice};
use serde_json::{Map, Value, json};

/// The `resources` object without `devices`.
pub fn limits(host: &HostConfig) -> Value {
    let mut resources = Map::new();
    insert(&mut resources, "memory", memory(host));
    insert(&mut resources, "cpu", cpu(host));
    insert(&mut resources, "blockIO", block_io(host));
    if let Some(limit) = host.pids_limit.filter(|limit| *limit != 0) {
        resources.insert("pids".to_owned(), json!({"limit": limit}));
    }
    Value::Object(resources)
}

fn insert(into: &mut Map<String, Value>, key: &str, part: Map<String, Value>) {
    if !part.is_empty() {
        into.insert(key.to_owned(), Value::Object(part));
    }
}

fn memory(host: &HostConfig) -> Map<String, Value> {
    let mut memory = Map::new();
    let limit = host.memory.unwrap_or(0);
    if limit != 0 {
        memory.insert("limit".to_owned(), json!(limit));
        // Docker: without a swap limit, as much swap again as memory.
        let swap = match host.memory_swap.unwrap_or(0) {
            0 => limit.saturating_mul(2),
            swap => swap,
        };
        memory.insert("swap".to_owned(), json!(swap));
    }
    if let Some(bytes) = host.memory_reservation.filter(|bytes| *bytes != 0) {
        memory.insert("reservation".to_owned(), json!(bytes));
    }
    if let Some(value) = host.memory_swappiness.filter(|value| (0..=100).contains(value)) {
        memory.insert("swappiness".to_owned(), json!(value));
    }
    if host.oom_kill_disable.unwrap_or(false) {
        memory.insert("disableOOMKiller".to_owned(), json!(true));
    }
    memory
}

fn cpu(host: &HostConfig) -> Map<String, Value> {
    let mut cpu = Map::new();
    let mut put = |key: &str, value: Option<i64>| {
        if let Some(value) = value.filter(|value| *value != 0) {
            cpu.insert(key.to_owned(), json!(value));
        }
    };
    put("shares", host.cpu_shares);
    match host.nano_cpus.filter(|nano| *nano != 0) {
        Some(nano) => {
            put("period", Some(100_000));
            put("quota", Some(nano / 10_000));
        }
        None => {
            put("period", host.cpu_period);
            put("quota", host.cpu_quota);
        }
    }
    put("realtimePeriod", host.cpu_realtime_period);
    put("realtimeRuntime", host.cpu_realtime_runtime);
    for (key, value) in [("cpus", &host.cpuset_cpus), ("mems", &host.cpuset_mems)] {
        if let Some(list) = value.as_deref().filter(|list| !list.is_empty()) {
            cpu.insert(key.to_owned(), json!(list));
        }
    }
    cpu
}

fn block_io(host: &HostConfig) -> Map<String, Value> {
    let mut block = Map::new();
    if let Some(weight) = host.blkio_weight.filter(|weight| *weight != 0) {
        block.insert("weight".to_owned(), json!(weight));
    }
    let weights: Vec<Value> = host
        .blkio_weight_device
        .iter()
        .flatten()
        .filter_map(|device| {
            let (major, minor) = device_number(device.path.as_deref()?)?;
            Some(json!({"major": major, "minor": minor, "weight": device.weight}))
        })
        .collect();
    if !weights.is_empty() {
        block.insert("weightDevice".to_owned(), Value::Array(weights));
    }
    for (key, devices) in [
        ("throttleReadBpsDevice", &host.blkio_device_read_bps),
        ("throttleWriteBpsDevice", &host.blkio_device_write_bps),
        ("throttleReadIOPSDevice", &host.blkio_device_read_iops),
        ("throttleWriteIOPSDevice", &host.blkio_device_write_iops),
    ] {
        let list: Vec<Value> = devices.iter().flatten().filter_map(throttle).collect();
        if !list.is_empty() {
            block.insert(key.to_owned(), Value::Array(list));
        }
    }
    block
}

fn throttle(device: &ThrottleDevice) -> Option<Value> {
    let (major, minor) = device_number(device.path.as_deref()?)?;
    Some(json!({"major": major, "minor": minor, "rate": device.rate?}))
}

/// Major and minor number of the device node at `path`.
pub fn device_number(path: &str) -> Option<(u32, u32)> {
    let stat = rustix::fs::stat(path).ok()?;
    Some((rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_defaults() {
        let host = HostConfig { memory: Some(64 << 20), nano_cpus: Some(1_500_000_000), ..HostConfig::default() };
        let resources = limits(&host);
        assert_eq!(resources["memory"]["swap"], 128 << 20);
        assert_eq!(resources["cpu"], json!({"period": 100_000, "quota": 150_000}));
        assert_eq!(limits(&HostConfig::default()), json!({}));
    }
}
