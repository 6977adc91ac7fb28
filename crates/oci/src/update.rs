//! `update`: other limits for a container.

use std::io::Read;
use std::path::Path;

use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::grammar::{Call, Command, value};
use crate::store::Store;

/// See the module.
pub static COMMAND: Command = Command {
    name: "update",
    arguments: "ID",
    about: "change the limits of a container",
    flags: &[
        value("resources", "r", "file with limits as JSON; - is standard input"),
        value("blkio-weight", "", "block i/o weight"),
        value("cpu-period", "", "scheduling period in microseconds"),
        value("cpu-quota", "", "processor time per period in microseconds"),
        value("cpu-burst", "", "processor time that may be saved up, in microseconds"),
        value("cpu-share", "", "relative weight"),
        value("cpu-rt-period", "", "real-time period in microseconds"),
        value("cpu-rt-runtime", "", "real-time runtime in microseconds"),
        value("cpuset-cpus", "", "processors"),
        value("cpuset-mems", "", "memory nodes"),
        value("cpu-idle", "", "1: only when nobody else wants to run"),
        value("kernel-memory", "", "accepted; kernels have no such limit any more"),
        value("kernel-memory-tcp", "", "accepted; kernels have no such limit any more"),
        value("memory", "", "limit in bytes"),
        value("memory-reservation", "", "soft limit in bytes"),
        value("memory-swap", "", "limit of memory and swap in bytes; -1 is none"),
        value("pids-limit", "", "most processes"),
    ],
    arity: (1, 1),
    run: update,
};

/// Flags, and where their numbers lie in the specification's resources.
const NUMBERS: &[(&str, &str, &str)] = &[
    ("blkio-weight", "blockIO", "weight"),
    ("cpu-period", "cpu", "period"),
    ("cpu-quota", "cpu", "quota"),
    ("cpu-burst", "cpu", "burst"),
    ("cpu-share", "cpu", "shares"),
    ("cpu-rt-period", "cpu", "realtimePeriod"),
    ("cpu-rt-runtime", "cpu", "realtimeRuntime"),
    ("cpu-idle", "cpu", "idle"),
    ("memory", "memory", "limit"),
    ("memory-reservation", "memory", "reservation"),
    ("memory-swap", "memory", "swap"),
    ("pids-limit", "pids", "limit"),
];

fn update(call: &Call) -> Result<u8> {
    let (_, record) = Store::new(&call.global.root).find(call.id())?;
    let cgroup = record.cgroup();
    let cgroup = cgroup.ok_or_else(|| Error::State(format!("container {} has no control group", record.id)))?;
    let resources = match call.text("resources") {
        Some(path) => read(path)?,
        None => from_flags(call)?,
    };
    cgroup.update(&resources)?;
    Ok(0)
}

fn read(path: &str) -> Result<LinuxResources> {
    let name = Path::new(path);
    let mut text = Vec::new();
    let outcome = if path == "-" {
        std::io::stdin().read_to_end(&mut text).map(drop)
    } else {
        std::fs::read(name).map(|bytes| text = bytes)
    };
    outcome.map_err(Error::file("read", name))?;
    serde_json::from_slice(&text).map_err(|source| Error::Parse { path: name.to_owned(), source })
}

fn from_flags(call: &Call) -> Result<LinuxResources> {
    let mut whole = Map::new();
    let mut put = |part: &str, key: &str, value: Value| {
        let part = whole.entry(part).or_insert_with(|| json!({}));
        part[key] = value;
    };
    for (flag, part, key) in NUMBERS {
        if let Some(number) = call.number::<i64>(flag)? {
            put(part, key, json!(number));
        }
    }
    for (flag, key) in [("cpuset-cpus", "cpus"), ("cpuset-mems", "mems")] {
        if let Some(text) = call.text(flag) {
            put("cpu", key, json!(text));
        }
    }
    serde_json::from_value(Value::Object(whole))
        .map_err(|source| Error::Usage(format!("these limits do not go together: {source}")))
}
