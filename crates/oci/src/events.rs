//! `events`: what a container uses, once or again and again, and when it ran out of memory.

use std::time::Duration;

use berth_runtime::cgroup::{Cgroup, stat::BlockEntry};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::grammar::{Call, Command, switch, value};
use crate::record::Status;
use crate::store::Store;

/// See the module.
pub static COMMAND: Command = Command {
    name: "events",
    arguments: "ID",
    about: "show what a container uses, and its out-of-memory events",
    flags: &[value("interval", "", "pause between two readings (default: 5s)"), switch("stats", "", "one reading")],
    arity: (1, 1),
    run: events,
};

fn events(call: &Call) -> Result<u8> {
    let (place, record) = Store::new(&call.global.root).find(call.id())?;
    let missing = || Error::Missing(format!("container {} has no control group", record.id));
    let cgroup = record.cgroup().ok_or_else(missing)?;
    if call.has("stats") {
        println!("{}", reading(&record.id, &cgroup)?);
        return Ok(0);
    }
    let pause = interval(call.text("interval").unwrap_or("5s"))?;
    let mut kills = cgroup.oom_kills().unwrap_or(0);
    let watch = cgroup.oom_watch().unwrap_or(None);
    while record.status(&place) != Status::Stopped {
        println!("{}", reading(&record.id, &cgroup)?);
        let limit = Timespec { tv_sec: pause.as_secs() as i64, tv_nsec: pause.subsec_nanos().into() };
        let mut watched: Vec<PollFd<'_>> =
            watch.iter().map(|watch| PollFd::new(watch, PollFlags::IN | PollFlags::PRI)).collect();
        // A signal only shortens the pause.
        let _ = poll(&mut watched, Some(&limit));
        let now = cgroup.oom_kills().unwrap_or(kills);
        if now > kills {
            println!("{}", json!({"type": "oom", "id": record.id}));
            kills = now;
        }
    }
    Ok(0)
}

/// `5s`, `100ms`, `2m`.
fn interval(text: &str) -> Result<Duration> {
    let invalid = || Error::Value { flag: String::from("interval"), value: text.to_owned() };
    let at = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..at].parse().map_err(|_| invalid())?;
    match &text[at..] {
        "ms" => Ok(Duration::from_millis(number.max(1))),
        "s" | "" => Ok(Duration::from_secs(number.max(1))),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err(invalid()),
    }
}

/// One reading in runc's shape.
fn reading(id: &str, cgroup: &Cgroup) -> Result<Value> {
    let stats = cgroup.stats()?;
    let unlimited = u64::MAX;
    let entry =
        |entry: &BlockEntry| json!({"major": entry.major, "minor": entry.minor, "op": entry.op, "value": entry.value});
    let list = |entries: &[BlockEntry]| entries.iter().map(entry).collect::<Vec<Value>>();
    let data = json!({
        "cpu": {
            "usage": {
                "total": stats.cpu.total_ns, "percpu": stats.cpu.per_cpu_ns,
                "kernel": stats.cpu.system_ns, "user": stats.cpu.user_ns,
            },
            "throttling": {
                "periods": stats.cpu.periods, "throttledPeriods": stats.cpu.throttled_periods,
                "throttledTime": stats.cpu.throttled_ns,
            },
        },
        "memory": {
            "cache": stats.memory.stats.get("cache").or(stats.memory.stats.get("file")).copied().unwrap_or(0),
            "usage": {
                "limit": stats.memory.limit.unwrap_or(unlimited), "usage": stats.memory.usage,
                "max": stats.memory.max_usage, "failcnt": stats.memory.failures,
            },
            "raw": stats.memory.stats,
        },
        "pids": {"current": stats.pids.current, "limit": stats.pids.limit.unwrap_or(0)},
        "blkio": {
            "ioServiceBytesRecursive": list(&stats.block.service_bytes),
            "ioServicedRecursive": list(&stats.block.serviced),
        },
        "hugetlb": {},
        "intel_rdt": {},
        "network_interfaces": null,
    });
    Ok(json!({"type": "stats", "id": id, "data": data}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses() {
        assert_eq!(interval("250ms").expect("ms"), Duration::from_millis(250));
        assert_eq!(interval("2m").expect("m"), Duration::from_secs(120));
        for wrong in ["", "s", "1h", "-1s"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
