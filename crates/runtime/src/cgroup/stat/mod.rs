//! What a container uses: the numbers behind Docker's `stats`, in the shape of neither cgroup version.

mod document;
mod v1;
mod v2;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::error::Result;
use super::layout::Version;
use super::{Cgroup, file};

/// One reading.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Whether the keys of `memory.stats` and the block I/O lists are those of cgroup v2. Clients subtract
    /// `total_inactive_file` (v1) or `inactive_file` (v2) from the usage.
    pub is_v2: bool,
    /// Processor time.
    pub cpu: Cpu,
    /// Memory.
    pub memory: Memory,
    /// Processes.
    pub pids: Pids,
    /// Block I/O.
    pub block: Block,
}

/// Processor time since the cgroup was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpu {
    /// All of it, in nanoseconds.
    pub total_ns: u64,
    /// In user mode, in nanoseconds.
    pub user_ns: u64,
    /// In the kernel, in nanoseconds.
    pub system_ns: u64,
    /// Each processor's part, in nanoseconds; empty on v2.
    pub per_cpu_ns: Vec<u64>,
    /// Enforcement periods that have passed.
    pub periods: u64,
    /// Those in which the quota was used up.
    pub throttled_periods: u64,
    /// How long the processes had to wait for it, in nanoseconds.
    pub throttled_ns: u64,
}

/// Memory in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// In use, page cache included.
    pub usage: u64,
    /// The limit; `None` when there is none.
    pub limit: Option<u64>,
    /// The most that was in use; 0 where the kernel does not keep it.
    pub max_usage: u64,
    /// How often the limit was hit.
    pub failures: u64,
    /// `memory.stat` as the kernel gives it.
    pub stats: BTreeMap<String, u64>,
}

/// Processes and threads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pids {
    /// How many there are.
    pub current: u64,
    /// The limit; `None` when there is none.
    pub limit: Option<u64>,
}

/// Block I/O by device and operation, sub-cgroups included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Bytes moved.
    pub service_bytes: Vec<BlockEntry>,
    /// Operations done.
    pub serviced: Vec<BlockEntry>,
}

/// One line of a block I/O list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockEntry {
    /// Device major number.
    pub major: u64,
    /// Device minor number.
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, ... on v1; `read` and `write` on v2, as Docker has them.
    pub op: String,
    /// Bytes or operations.
    pub value: u64,
}

impl Cgroup {
    /// Reads what the container uses now. A controller that is missing leaves zeros.
    pub fn stats(&self) -> Result<Stats> {
        if self.layout.version == Version::V2 { self.stats_v2() } else { self.stats_v1() }
    }
}

fn number(text: Option<String>) -> u64 {
    text.and_then(|text| file::parse_number(&text)).unwrap_or_default()
}

/// v1 shows "no limit" as the greatest multiple of a page below 2^63, v2 as "max".
fn limit(text: Option<String>) -> Option<u64> {
    const NO_LIMIT: u64 = (i64::MAX as u64) & !0xffff;
    text.and_then(|text| file::parse_number(&text)).filter(|bytes| *bytes < NO_LIMIT)
}
