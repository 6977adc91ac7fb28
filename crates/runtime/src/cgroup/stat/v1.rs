//! Reading cgroup v1.

use super::super::Cgroup;
use super::super::error::Result;
use super::super::file;
use super::super::layout::Controller;
use super::{Block, BlockEntry, Cpu, Memory, Pids, Stats, limit, number};

impl Cgroup {
    pub(super) fn stats_v1(&self) -> Result<Stats> {
        Ok(Stats {
            is_v2: false,
            cpu: self.cpu_v1()?,
            memory: self.memory_v1()?,
            pids: Pids {
                current: number(self.value(Controller::Pids, "pids.current")?),
                limit: limit(self.value(Controller::Pids, "pids.max")?),
            },
            block: self.block_v1()?,
        })
    }

    /// A control file's text, `None` without the controller or file.
    pub(super) fn value(&self, controller: Controller, name: &str) -> Result<Option<String>> {
        self.layout.find(controller).map_or(Ok(None), |hierarchy| self.read(hierarchy, name))
    }

    fn cpu_v1(&self) -> Result<Cpu> {
        let acct = |name| self.value(Controller::Cpuacct, name);
        let per_cpu = acct("cpuacct.usage_percpu")?.unwrap_or_default();
        let throttling = self.value(Controller::Cpu, "cpu.stat")?.unwrap_or_default();
        let of = |key| file::parse_pairs(&throttling).find(|(k, _)| *k == key).map_or(0, |(_, value)| value);
        Ok(Cpu {
            total_ns: number(acct("cpuacct.usage")?),
            user_ns: number(acct("cpuacct.usage_user")?),
            system_ns: number(acct("cpuacct.usage_sys")?),
            per_cpu_ns: per_cpu.split_whitespace().filter_map(file::parse_number).collect(),
            periods: of("nr_periods"),
            throttled_periods: of("nr_throttled"),
            throttled_ns: of("throttled_time"),
        })
    }

    fn memory_v1(&self) -> Result<Memory> {
        let memory = |name| self.value(Controller::Memory, name);
        let stats = memory("memory.stat")?.unwrap_or_default();
        Ok(Memory {
            usage: number(memory("memory.usage_in_bytes")?),
            limit: limit(memory("memory.limit_in_bytes")?),
            max_usage: number(memory("memory.max_usage_in_bytes")?),
            failures: number(memory("memory.failcnt")?),
            stats: file::parse_pairs(&stats).map(|(key, value)| (key.to_owned(), value)).collect(),
        })
    }

    /// The list of the scheduler in use: BFQ's if it has entries, else that of throttling, which counts always.
    fn block_v1(&self) -> Result<Block> {
        let list = |name: &str| -> Result<Vec<BlockEntry>> {
            let text = self.value(Controller::Blkio, name)?.unwrap_or_default();
            Ok(text.lines().filter_map(entry).collect())
        };
        let bfq = list("blkio.bfq.io_serviced_recursive")?;
        if !bfq.is_empty() {
            return Ok(Block { service_bytes: list("blkio.bfq.io_service_bytes_recursive")?, serviced: bfq });
        }
        Ok(Block {
            service_bytes: list("blkio.throttle.io_service_bytes_recursive")?,
            serviced: list("blkio.throttle.io_serviced_recursive")?,
        })
    }
}

/// `8:0 Read 4096`; the last line, `Total 4096`, has no device.
fn entry(line: &str) -> Option<BlockEntry> {
    let mut fields = line.split_whitespace();
    let (major, minor) = fields.next()?.split_once(':')?;
    Some(BlockEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        op: fields.next()?.to_owned(),
        value: fields.next()?.parse().ok()?,
    })
}
