//! Reading cgroup v2.

use super::super::Cgroup;
use super::super::error::Result;
use super::super::file;
use super::super::layout::Controller;
use super::{Block, BlockEntry, Cpu, Memory, Pids, Stats, limit, number};

impl Cgroup {
    pub(super) fn stats_v2(&self) -> Result<Stats> {
        Ok(Stats {
            is_v2: true,
            cpu: self.cpu_v2()?,
            memory: self.memory_v2()?,
            pids: Pids {
                current: number(self.value(Controller::Pids, "pids.current")?),
                limit: limit(self.value(Controller::Pids, "pids.max")?),
            },
            block: self.block_v2()?,
        })
    }

    /// `cpu.stat` is a core file: usage is there without the controller, throttling only with it.
    fn cpu_v2(&self) -> Result<Cpu> {
        let text = self.read(self.primary(), "cpu.stat")?.unwrap_or_default();
        let ns = |key| file::parse_pairs(&text).find(|(k, _)| *k == key).map_or(0, |(_, us)| us * 1000);
        let count = |key| file::parse_pairs(&text).find(|(k, _)| *k == key).map_or(0, |(_, n)| n);
        Ok(Cpu {
            total_ns: ns("usage_usec"),
            user_ns: ns("user_usec"),
            system_ns: ns("system_usec"),
            per_cpu_ns: Vec::new(),
            periods: count("nr_periods"),
            throttled_periods: count("nr_throttled"),
            throttled_ns: ns("throttled_usec"),
        })
    }

    fn memory_v2(&self) -> Result<Memory> {
        let memory = |name| self.value(Controller::Memory, name);
        let stats = memory("memory.stat")?.unwrap_or_default();
        let events = memory("memory.events")?.unwrap_or_default();
        Ok(Memory {
            usage: number(memory("memory.current")?),
            limit: limit(memory("memory.max")?),
            max_usage: number(memory("memory.peak")?),
            failures: file::parse_pairs(&events).find(|(key, _)| *key == "max").map_or(0, |(_, count)| count),
            stats: file::parse_pairs(&stats).map(|(key, value)| (key.to_owned(), value)).collect(),
        })
    }

    /// Lines of `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`.
    fn block_v2(&self) -> Result<Block> {
        let text = self.value(Controller::Blkio, "io.stat")?.unwrap_or_default();
        let mut block = Block::default();
        for line in text.lines() {
            let mut fields = line.split_whitespace();
            let Some((major, minor)) = fields.next().and_then(|device| device.split_once(':')) else { continue };
            let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { continue };
            for (key, value) in fields.filter_map(|field| field.split_once('=')) {
                let Ok(value) = value.parse() else { continue };
                let (list, op) = match key {
                    "rbytes" => (&mut block.service_bytes, "read"),
                    "wbytes" => (&mut block.service_bytes, "write"),
                    "rios" => (&mut block.serviced, "read"),
                    "wios" => (&mut block.serviced, "write"),
                    _ => continue,
                };
                list.push(BlockEntry { major, minor, op: op.to_owned(), value });
            }
        }
        Ok(block)
    }
}
