//! `stats`: what a container uses, once or every second.

use std::{sync::Arc, time::Duration};

use berth_kit::time::{Timestamp, ZERO, format_nano};
use berth_runtime::cgroup;
use futures_util::{StreamExt as _, stream::BoxStream};
use serde_json::{Value, json};

use crate::{Containers, Result, containers::Container};

const INTERVAL: Duration = Duration::from_secs(1);
/// Clock ticks are counted in hundredths of a second (proc(5), USER_HZ).
const TICK_NS: u64 = 10_000_000;

/// One reading.
#[derive(Clone, Default)]
struct Sample {
    at: Option<Timestamp>,
    stats: cgroup::Stats,
    system_ns: u64,
    networks: Value,
    /// What a virtual machine's kernel says.
    guest: Option<berth_vm::message::Usage>,
}

struct Series {
    containers: Containers,
    container: Arc<Container>,
    before: Sample,
    started: bool,
}

impl Containers {
    /// Documents of Docker's stats form: one, or one a second until the container is removed.
    /// A single one waits a second, so that it can say how much cpu was used meanwhile, unless `one_shot`.
    ///
    /// # Errors
    /// [`crate::Error::NoSuchContainer`].
    pub async fn stats(&self, name: &str, stream: bool, one_shot: bool) -> Result<BoxStream<'static, Result<Value>>> {
        let container = self.shared.find(name)?;
        let first = self.sample(&container).await;
        if stream {
            let series = Series { containers: self.clone(), container, before: first, started: false };
            return Ok(futures_util::stream::unfold(series, next).boxed());
        }
        let document = if one_shot || !container.status().is_alive() {
            document(&container, &first, &Sample::default())
        } else {
            tokio::time::sleep(INTERVAL).await;
            document(&container, &self.sample(&container).await, &first)
        };
        Ok(futures_util::stream::iter([Ok(document)]).boxed())
    }

    async fn sample(&self, container: &Container) -> Sample {
        let record = container.read().clone();
        if !record.state.status.is_alive() {
            return Sample::default();
        }
        let stats = self
            .shared
            .cgroup(&record)
            .and_then(|cgroup| cgroup.stats().map_err(|error| crate::Error::step("read the usage", &record.id, error)));
        let networks = std::fs::read_to_string(format!("/proc/{}/net/dev", record.state.pid)).unwrap_or_default();
        // Time on processors is the monitor's, memory and the rest are what the guest's kernel says of the container.
        let guest = if crate::machine::is_wanted(&record) { self.machine_usage(&record.id).await } else { None };
        Sample {
            guest,
            at: Some(Timestamp::now()),
            stats: stats.unwrap_or_default(),
            system_ns: system_ns(&std::fs::read_to_string("/proc/stat").unwrap_or_default()),
            networks: interfaces(&networks),
        }
    }
}

async fn next(mut series: Series) -> Option<(Result<Value>, Series)> {
    if std::mem::replace(&mut series.started, true) {
        let mut progress = series.container.progress.subscribe();
        let gone = progress.wait_for(|now| now.removed);
        if tokio::time::timeout(INTERVAL, gone).await.is_ok() {
            return None;
        }
    }
    let now = series.containers.sample(&series.container).await;
    let document = document(&series.container, &now, &series.before);
    series.before = now;
    Some((Ok(document), series))
}

fn document(container: &Container, now: &Sample, before: &Sample) -> Value {
    let guest = now.guest.as_ref();
    let time = |sample: &Sample| sample.at.map_or_else(|| ZERO.to_owned(), format_nano);
    json!({
        "id": container.id,
        "name": format!("/{}", container.read().name),
        "os_type": "linux",
        "read": time(now),
        "preread": time(before),
        "pids_stats": guest.map_or_else(|| now.stats.pids_json(), |guest| guest.pids.clone()),
        "blkio_stats": guest.map_or_else(|| now.stats.blkio_json(), |guest| guest.block.clone()),
        "num_procs": 0,
        "storage_stats": {},
        "cpu_stats": cpu(now),
        "precpu_stats": cpu(before),
        "memory_stats": guest.map_or_else(|| now.stats.memory_json(), |guest| guest.memory.clone()),
        "networks": now.networks,
    })
}

fn cpu(sample: &Sample) -> Value {
    let mut cpu = sample.stats.cpu_json();
    cpu["system_cpu_usage"] = json!(sample.system_ns);
    cpu["online_cpus"] = json!(std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    cpu
}

/// Time that all processors spent, in nanoseconds: the first seven fields of the `cpu` line (proc_stat(5)).
fn system_ns(stat: &str) -> u64 {
    let line = stat.lines().next().unwrap_or("");
    let fields = line.split_whitespace().skip(1).take(7);
    fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * TICK_NS
}

/// Counters by interface, the loopback left out (proc_pid_net(5), dev).
fn interfaces(dev: &str) -> Value {
    let mut all = serde_json::Map::new();
    for line in dev.lines().skip(2) {
        let Some((name, counters)) = line.split_once(':') else { continue };
        let counters: Vec<u64> = counters.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        if name.trim() == "lo" || counters.len() < 12 {
            continue;
        }
        let shown = json!({
            "rx_bytes": counters[0], "rx_packets": counters[1], "rx_errors": counters[2], "rx_dropped": counters[3],
            "tx_bytes": counters[8], "tx_packets": counters[9], "tx_errors": counters[10], "tx_dropped": counters[11],
        });
        all.insert(name.trim().to_owned(), shown);
    }
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_texts_are_read() {
        assert_eq!(system_ns("cpu  1 2 3 4 5 6 7 8 9\ncpu0 1\n"), 28 * TICK_NS);
        let dev = "h\nh\n    lo: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n  eth0: 10 2 0 1 0 0 0 0 20 3 0 0 0 0 0 0\n";
        assert_eq!(interfaces(dev)["eth0"]["tx_bytes"], 20);
        assert!(interfaces(dev).get("lo").is_none());
        assert_eq!(interfaces("nonsense"), json!({}));
    }
}
