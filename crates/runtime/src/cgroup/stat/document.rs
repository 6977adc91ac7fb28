//! Readings in the form of Docker's Engine API (`ContainerStatsResponse`), which clients compute percentages from.

use serde_json::{Map, Value, json};

use super::{BlockEntry, Memory, Pids, Stats};

impl Stats {
    /// `cpu_stats` without the system's usage and processor count, which are not the container's. Nanoseconds.
    pub fn cpu_json(&self) -> Value {
        let mut usage = json!({
            "total_usage": self.cpu.total_ns,
            "usage_in_kernelmode": self.cpu.system_ns,
            "usage_in_usermode": self.cpu.user_ns,
        });
        if !self.cpu.per_cpu_ns.is_empty() {
            usage["percpu_usage"] = json!(self.cpu.per_cpu_ns);
        }
        json!({
            "cpu_usage": usage,
            "throttling_data": {
                "periods": self.cpu.periods,
                "throttled_periods": self.cpu.throttled_periods,
                "throttled_time": self.cpu.throttled_ns,
            },
        })
    }

    /// `memory_stats`, in bytes; the machine's memory stands for "no limit". Empty without a reading.
    pub fn memory_json(&self) -> Value {
        if self.memory == Memory::default() {
            return json!({});
        }
        let mut document = json!({
            "usage": self.memory.usage,
            "stats": self.memory.stats,
            "limit": self.memory.limit.map_or_else(machine_memory, |limit| limit.min(machine_memory())),
        });
        if !self.is_v2 {
            document["max_usage"] = json!(self.memory.max_usage);
            document["failcnt"] = json!(self.memory.failures);
        }
        document
    }

    /// `pids_stats`. Empty without a reading.
    pub fn pids_json(&self) -> Value {
        if self.pids == Pids::default() {
            return json!({});
        }
        let mut document = Map::new();
        document.insert("current".into(), json!(self.pids.current));
        match self.pids.limit {
            Some(limit) => drop(document.insert("limit".into(), json!(limit))),
            // Docker shows v2's "max" as the greatest number, and leaves v1's out.
            None if self.is_v2 => drop(document.insert("limit".into(), json!(u64::MAX))),
            None => {}
        }
        Value::Object(document)
    }

    /// `blkio_stats`: lists that are empty are null, as are those that no kernel fills any more.
    pub fn blkio_json(&self) -> Value {
        let list = |entries: &[BlockEntry]| if entries.is_empty() { Value::Null } else { json!(entries) };
        json!({
            "io_service_bytes_recursive": list(&self.block.service_bytes),
            "io_serviced_recursive": list(&self.block.serviced),
            "io_queue_recursive": null,
            "io_service_time_recursive": null,
            "io_wait_time_recursive": null,
            "io_merged_recursive": null,
            "io_time_recursive": null,
            "sectors_recursive": null,
        })
    }
}

fn machine_memory() -> u64 {
    let system = rustix::system::sysinfo();
    // Both are `unsigned long` in the kernel's interface, of another width on other machines.
    #[allow(clippy::useless_conversion)]
    u64::from(system.totalram).saturating_mul(u64::from(system.mem_unit))
}

#[cfg(test)]
mod tests {
    use super::super::Cpu;
    use super::*;

    #[test]
    fn documents_have_the_fields_that_clients_compute_with() {
        let stopped = Stats::default();
        assert_eq!((stopped.memory_json(), stopped.pids_json()), (json!({}), json!({})));
        assert_eq!(stopped.cpu_json()["cpu_usage"]["total_usage"], 0);
        assert_eq!(stopped.blkio_json()["io_service_bytes_recursive"], Value::Null);

        let entry = BlockEntry { major: 8, minor: 0, op: "read".into(), value: 5 };
        let mut stats = Stats {
            cpu: Cpu { total_ns: 7, per_cpu_ns: vec![3, 4], ..Cpu::default() },
            memory: Memory { usage: 9, failures: 2, ..Memory::default() },
            pids: Pids { current: 1, limit: None },
            ..Stats::default()
        };
        stats.block.service_bytes.push(entry);
        assert_eq!(stats.cpu_json()["cpu_usage"]["percpu_usage"], json!([3, 4]));
        assert_eq!((stats.memory_json()["failcnt"].clone(), stats.pids_json()), (json!(2), json!({"current": 1})));
        assert!(stats.memory_json()["limit"].as_u64().unwrap() > 1 << 20);
        let read = json!({"major": 8, "minor": 0, "op": "read", "value": 5});
        assert_eq!(stats.blkio_json()["io_service_bytes_recursive"][0], read);
        stats.is_v2 = true;
        stats.memory.limit = Some(4096);
        assert_eq!(stats.pids_json()["limit"], u64::MAX);
        assert_eq!(stats.memory_json(), json!({"usage": 9, "stats": {}, "limit": 4096}));
    }
}
