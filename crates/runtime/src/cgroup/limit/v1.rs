//! Limits of cgroup v1.

use oci_spec::runtime::{LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxResources};

use super::super::device::Rules;
use super::super::error::{Error, Result};
use super::super::layout::Controller;
use super::super::{Cgroup, file};
use super::swap_limit;

const MEMORY_LIMIT: &str = "memory.limit_in_bytes";
const SWAP_LIMIT: &str = "memory.memsw.limit_in_bytes";

impl Cgroup {
    pub(super) fn apply_v1(&self, resources: &LinuxResources, fresh: bool) -> Result<()> {
        if resources.unified().as_ref().is_some_and(|unified| !unified.is_empty()) {
            return Err(Error::UnifiedOnV1);
        }
        if let Some(memory) = resources.memory() {
            self.set_memory_v1(memory, fresh)?;
        }
        if let Some(cpu) = resources.cpu() {
            self.set_cpu_v1(cpu)?;
        }
        if let Some(pids) = resources.pids()
            && pids.limit() != 0
        {
            let limit = if pids.limit() > 0 { pids.limit().to_string() } else { "max".to_owned() };
            self.set(Controller::Pids, "a limit of processes", "pids.max", &limit)?;
        }
        if let Some(block) = resources.block_io() {
            self.set_block_v1(block)?;
        }
        for huge in resources.hugepage_limits().iter().flatten() {
            let name = format!("hugetlb.{}.limit_in_bytes", huge.page_size());
            self.set(Controller::Hugetlb, "a huge page limit", &name, &huge.limit().to_string())?;
        }
        match resources.devices() {
            Some(rules) if fresh || !rules.is_empty() => self.set_devices_v1(&Rules::of_container(rules), fresh),
            None if fresh => self.set_devices_v1(&Rules::of_container(&[]), fresh),
            _ => Ok(()),
        }
    }

    fn set_memory_v1(&self, memory: &LinuxMemory, fresh: bool) -> Result<()> {
        let label = "a memory limit";
        let limit = memory.limit().filter(|limit| *limit != 0);
        let swap = swap_limit(memory).filter(|swap| *swap != -1 || self.offers(Controller::Memory, SWAP_LIMIT));
        let set_limit = |limit: i64| {
            self.set(Controller::Memory, label, MEMORY_LIMIT, &limit.to_string())
                .map_err(|e| self.explain_memory(e, limit, "memory.usage_in_bytes", "memory.max_usage_in_bytes"))
        };
        let set_swap =
            |swap: i64| self.set(Controller::Memory, "a memory and swap limit", SWAP_LIMIT, &swap.to_string());
        match (limit, swap) {
            // The kernel demands memory <= memory+swap at each step, so the order depends on the direction.
            (Some(limit), Some(swap)) if !fresh && self.grows(swap) => {
                set_swap(swap)?;
                set_limit(limit)?;
            }
            (limit, swap) => {
                limit.map_or(Ok(()), set_limit)?;
                swap.map_or(Ok(()), set_swap)?;
            }
        }
        if let Some(reservation) = memory.reservation().filter(|bytes| *bytes != 0) {
            let value = reservation.to_string();
            self.set(Controller::Memory, "a memory reservation", "memory.soft_limit_in_bytes", &value)?;
        }
        if let Some(swappiness) = memory.swappiness() {
            self.set(Controller::Memory, "swappiness", "memory.swappiness", &swappiness.to_string())?;
        }
        if memory.disable_oom_killer() == Some(true) {
            self.set(Controller::Memory, "switching the OOM killer off", "memory.oom_control", "1")?;
        }
        // Kernel memory limits are accepted and ignored: kernel 5.16 took them away.
        Ok(())
    }

    /// Whether the new memory+swap limit lies above the present memory limit.
    fn grows(&self, swap: i64) -> bool {
        let present = self
            .layout
            .find(Controller::Memory)
            .and_then(|h| self.read(h, MEMORY_LIMIT).ok().flatten())
            .and_then(|text| file::parse_number(&text));
        swap == -1 || present.is_some_and(|bytes| bytes < swap as u64)
    }

    fn set_cpu_v1(&self, cpu: &LinuxCpu) -> Result<()> {
        let set = |label, name: &str, value: String| self.set(Controller::Cpu, label, name, &value);
        if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
            set("a CPU share", "cpu.shares", shares.to_string())?;
        }
        if let Some(period) = cpu.realtime_period().filter(|us| *us != 0) {
            set("a real-time period", "cpu.rt_period_us", period.to_string())?;
        }
        if let Some(runtime) = cpu.realtime_runtime().filter(|us| *us != 0) {
            set("a real-time budget", "cpu.rt_runtime_us", runtime.to_string())?;
        }
        let mut period = cpu.period().filter(|us| *us != 0);
        let set_period = |us: u64| set("a CPU period", "cpu.cfs_period_us", us.to_string());
        if let Some(us) = period {
            match set_period(us) {
                // The old quota over the new period may pass the parent's limit: then the quota goes first.
                Err(Error::Write { source, .. })
                    if source.raw_os_error() == Some(libc::EINVAL) && cpu.quota().is_some() => {}
                other => {
                    other?;
                    period = None;
                }
            }
        }
        if let Some(burst) = cpu.burst() {
            set("a CPU burst", "cpu.cfs_burst_us", burst.to_string())?;
        }
        if let Some(quota) = cpu.quota().filter(|us| *us != 0) {
            set("a CPU quota", "cpu.cfs_quota_us", quota.to_string())?;
        }
        period.map_or(Ok(()), set_period)?;
        if let Some(idle) = cpu.idle() {
            set("CPU idle", "cpu.idle", idle.to_string())?;
        }
        for (list, name) in [(cpu.cpus(), "cpuset.cpus"), (cpu.mems(), "cpuset.mems")] {
            if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
                self.set(Controller::Cpuset, "pinning to CPUs or memory nodes", name, list)?;
            }
        }
        Ok(())
    }

    fn set_block_v1(&self, block: &LinuxBlockIo) -> Result<()> {
        // The weight belongs to the scheduler: CFQ's file was taken over by BFQ under a new name.
        let bfq = self.offers(Controller::Blkio, "blkio.bfq.weight");
        let (weight, weight_device) =
            if bfq { ("blkio.bfq.weight", "blkio.bfq.weight_device") } else { ("blkio.weight", "blkio.weight_device") };
        let label = "a block I/O weight";
        if let Some(value) = block.weight().filter(|weight| *weight != 0) {
            self.set(Controller::Blkio, label, weight, &value.to_string())?;
        }
        for device in block.weight_device().iter().flatten() {
            if let Some(value) = device.weight() {
                let line = format!("{}:{} {value}", device.major(), device.minor());
                self.set(Controller::Blkio, label, weight_device, &line)?;
            }
        }
        let throttles = [
            (block.throttle_read_bps_device(), "blkio.throttle.read_bps_device"),
            (block.throttle_write_bps_device(), "blkio.throttle.write_bps_device"),
            (block.throttle_read_iops_device(), "blkio.throttle.read_iops_device"),
            (block.throttle_write_iops_device(), "blkio.throttle.write_iops_device"),
        ];
        for (devices, name) in throttles {
            for device in devices.iter().flatten() {
                let line = format!("{}:{} {}", device.major(), device.minor(), device.rate());
                self.set(Controller::Blkio, "a block I/O throttle", name, &line)?;
            }
        }
        Ok(())
    }

    /// `devices.rst`: "a" to `devices.deny` closes everything, then each exception opens something, or the reverse.
    fn set_devices_v1(&self, rules: &Rules, fresh: bool) -> Result<()> {
        if fresh && rules.allows_everything() {
            return Ok(());
        }
        let missing = || Error::MissingController { limit: "device rules", controller: Controller::Devices.name() };
        let hierarchy = self.layout.find(Controller::Devices).ok_or_else(missing)?;
        let (reset, except) =
            if rules.default_allow { ("devices.allow", "devices.deny") } else { ("devices.deny", "devices.allow") };
        self.write(hierarchy, reset, "a")?;
        if rules.exceptions.is_empty() {
            return Ok(());
        }
        let failed = |value: &str, source| Error::Write {
            path: self.display(),
            file: except.to_owned(),
            value: value.to_owned(),
            source,
        };
        let writer =
            file::Writer::open(hierarchy.root(), &self.control(except)).map_err(|source| failed("", source))?;
        for exception in &rules.exceptions {
            let line = exception.to_string();
            writer.write(&line).map_err(|source| failed(&line, source))?;
        }
        Ok(())
    }
}
