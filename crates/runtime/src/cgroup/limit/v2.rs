//! Limits of cgroup v2, with the conversions of v1's scales that OCI runtimes agree on.

use berth_sys::user_namespace;
use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

use super::super::device::Rules;
use super::super::error::{Error, Result};
use super::super::layout::Controller;
use super::super::{Cgroup, device_filter};
use super::swap_limit;

impl Cgroup {
    pub(super) fn apply_v2(&self, resources: &LinuxResources, fresh: bool) -> Result<()> {
        if let Some(memory) = resources.memory() {
            self.set_memory_v2(memory)?;
        }
        if let Some(cpu) = resources.cpu() {
            self.set_cpu_v2(cpu)?;
        }
        if let Some(pids) = resources.pids()
            && pids.limit() != 0
        {
            self.set(Controller::Pids, "a limit of processes", "pids.max", &or_max(pids.limit()))?;
        }
        if let Some(block) = resources.block_io() {
            self.set_block_v2(block)?;
        }
        for huge in resources.hugepage_limits().iter().flatten() {
            let name = format!("hugetlb.{}.max", huge.page_size());
            self.set(Controller::Hugetlb, "a huge page limit", &name, &or_max(huge.limit()))?;
        }
        for (key, value) in resources.unified().iter().flatten() {
            if key.contains('/') || key.starts_with('.') || !key.contains('.') {
                return Err(Error::InvalidUnified { key: key.clone() });
            }
            self.write(self.primary(), key, value)?;
        }
        if user_namespace::is_nested() {
            // Its program may only be loaded by the machine's root; nodes cannot be made there either.
            return Ok(());
        }
        match resources.devices() {
            Some(rules) if fresh || !rules.is_empty() => self.set_devices_v2(&Rules::of_container(rules), fresh),
            None if fresh => self.set_devices_v2(&Rules::of_container(&[]), fresh),
            _ => Ok(()),
        }
    }

    fn set_memory_v2(&self, memory: &LinuxMemory) -> Result<()> {
        let label = "a memory limit";
        if let Some(swap) = swap_limit(memory) {
            let value = or_max(swap_alone(swap, memory.limit().unwrap_or(0)));
            match self.set(Controller::Memory, "a memory and swap limit", "memory.swap.max", &value) {
                // No swap at all in this kernel is within any limit of swap.
                Err(Error::MissingSetting { .. }) if swap == -1 || value == "0" => {}
                other => other?,
            }
        }
        if let Some(limit) = memory.limit().filter(|limit| *limit != 0) {
            self.set(Controller::Memory, label, "memory.max", &or_max(limit))
                .map_err(|e| self.explain_memory(e, limit, "memory.current", "memory.peak"))?;
        }
        if let Some(reservation) = memory.reservation().filter(|bytes| *bytes != 0) {
            self.set(Controller::Memory, "a memory reservation", "memory.low", &or_max(reservation))?;
        }
        // v2 has neither swappiness nor a switch for the OOM killer: both are left out, and `info` says so.
        Ok(())
    }

    fn set_cpu_v2(&self, cpu: &LinuxCpu) -> Result<()> {
        let set = |label, name: &str, value: String| self.set(Controller::Cpu, label, name, &value);
        if let Some(idle) = cpu.idle() {
            set("CPU idle", "cpu.idle", idle.to_string())?;
        }
        // An idle cgroup has no weight of its own.
        if let Some(shares) = cpu.shares().filter(|shares| *shares != 0 && cpu.idle() != Some(1)) {
            set("a CPU share", "cpu.weight", weight_of_shares(shares).to_string())?;
        }
        let quota = cpu.quota().filter(|us| *us != 0);
        let period = cpu.period().filter(|us| *us != 0);
        let burst = cpu.burst().map(|us| us.to_string());
        let mut burst_first = burst.clone();
        if let Some(us) = &burst {
            // It may not pass the quota, new or old: whichever order the kernel takes.
            match set("a CPU burst", "cpu.max.burst", us.clone()) {
                Err(Error::Write { source, .. }) if source.raw_os_error() == Some(libc::EINVAL) && quota.is_some() => {}
                other => {
                    other?;
                    burst_first = None;
                }
            }
        }
        if quota.is_some() || period.is_some() {
            let quota = quota.map_or_else(|| self.present_quota(), or_max);
            let value = format!("{quota} {}", period.unwrap_or(100_000));
            set("a CPU quota", "cpu.max", value)?;
        }
        burst_first.map_or(Ok(()), |us| set("a CPU burst", "cpu.max.burst", us))?;
        for (list, name) in [(cpu.cpus(), "cpuset.cpus"), (cpu.mems(), "cpuset.mems")] {
            if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
                self.set(Controller::Cpuset, "pinning to CPUs or memory nodes", name, list)?;
            }
        }
        Ok(())
    }

    /// The first word of `cpu.max`, kept when only the period changes.
    fn present_quota(&self) -> String {
        let text = self.layout.find(Controller::Cpu).and_then(|h| self.read(h, "cpu.max").ok().flatten());
        text.as_deref().and_then(|text| text.split_whitespace().next()).unwrap_or("max").to_owned()
    }

    fn set_block_v2(&self, block: &LinuxBlockIo) -> Result<()> {
        let label = "a block I/O weight";
        // BFQ keeps v1's scale, io.weight (blk-iocost) has its own.
        let bfq = self.offers(Controller::Blkio, "io.bfq.weight");
        let file = if bfq { "io.bfq.weight" } else { "io.weight" };
        let scaled = |weight: u16| if bfq { u64::from(weight) } else { weight_of_blkio(weight) };
        if let Some(weight) = block.weight().filter(|weight| *weight != 0) {
            self.set(Controller::Blkio, label, file, &scaled(weight).to_string())?;
        }
        for device in block.weight_device().iter().flatten() {
            if let Some(weight) = device.weight() {
                let line = format!("{}:{} {}", device.major(), device.minor(), scaled(weight));
                self.set(Controller::Blkio, label, file, &line)?;
            }
        }
        let throttles = [
            (block.throttle_read_bps_device(), "rbps"),
            (block.throttle_write_bps_device(), "wbps"),
            (block.throttle_read_iops_device(), "riops"),
            (block.throttle_write_iops_device(), "wiops"),
        ];
        for (devices, key) in throttles {
            for device in devices.iter().flatten() {
                let rate = if device.rate() == 0 { "max".to_owned() } else { device.rate().to_string() };
                let line = format!("{}:{} {key}={rate}", device.major(), device.minor());
                self.set(Controller::Blkio, "a block I/O throttle", "io.max", &line)?;
            }
        }
        Ok(())
    }

    fn set_devices_v2(&self, rules: &Rules, fresh: bool) -> Result<()> {
        let Some(directory) = self.directory_fd().filter(|_| !(fresh && rules.allows_everything())) else {
            return Ok(());
        };
        device_filter::attach(directory, rules).map_err(|source| Error::DeviceFilter { path: self.display(), source })
    }
}

fn or_max(limit: i64) -> String {
    if limit < 0 { "max".to_owned() } else { limit.to_string() }
}

/// v1 and Docker count memory and swap together, v2 counts swap alone.
pub(crate) fn swap_alone(memory_and_swap: i64, memory: i64) -> i64 {
    if memory_and_swap < 0 || memory < 0 { -1 } else { (memory_and_swap - memory).max(0) }
}

/// `cpu.shares` (2..=262144, default 1024) to `cpu.weight` (1..=10000, default 100): the curve through
/// (2, 1), (1024, 100) and (262144, 10000) that OCI runtimes use since 2025, so that defaults stay defaults.
pub(crate) fn weight_of_shares(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        3..=262_143 => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            10f64.powf(exponent).ceil() as u64
        }
        _ => 10_000,
    }
}

/// `blkio.weight` (10..=1000) to `io.weight` (1..=10000), linear.
pub(crate) fn weight_of_blkio(weight: u16) -> u64 {
    1 + (u64::from(weight).clamp(10, 1000) - 10) * 9999 / 990
}
