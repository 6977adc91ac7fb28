//! What this machine's cgroups can limit, so that the daemon can warn before a container is made.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::layout::{Controller, Layout, Version};
use super::{delegation, file};

/// The settings that exist here; each `true` means a limit of that kind will be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controllers {
    /// The layout.
    pub version: Version,
    /// Memory limits.
    pub memory: bool,
    /// Memory plus swap limits.
    pub swap: bool,
    /// Soft memory limits.
    pub memory_reservation: bool,
    /// Swappiness of a container (v1 only).
    pub swappiness: bool,
    /// Switching the OOM killer off (v1 only).
    pub oom_kill_disable: bool,
    /// Relative CPU shares: the controller is there.
    pub cpu: bool,
    /// CPU quota and period.
    pub cpu_cfs: bool,
    /// Real-time CPU budget (v1 only).
    pub cpu_realtime: bool,
    /// Pinning to CPUs and memory nodes.
    pub cpuset: bool,
    /// Limits of the number of processes.
    pub pids: bool,
    /// Relative block I/O weight.
    pub blkio_weight: bool,
    /// Block I/O weight for one device.
    pub blkio_weight_device: bool,
    /// Bytes and operations per second of a block device.
    pub blkio_throttle: bool,
    /// Huge page limits.
    pub hugetlb: bool,
    /// Device access rules.
    pub devices: bool,
    /// Pausing.
    pub freezer: bool,
}

/// What the hierarchies of this machine offer; nothing at all if none is mounted.
pub fn available() -> Controllers {
    let Ok(layout) = Layout::get() else { return Controllers::none() };
    if !delegation::are_usable() {
        return Controllers { version: layout.version, ..Controllers::none() };
    }
    let found = probe(&layout);
    match delegation::controllers() {
        Some(handed) => found.only(&handed),
        None => found,
    }
}

/// As [`available`], for any layout.
pub(super) fn probe(layout: &Layout) -> Controllers {
    let file = |controller, name: &str| layout.find(controller).is_some_and(|h| file::exists(h.root(), name));
    if layout.is_v2() {
        return probe_v2(layout);
    }
    let weight = ["blkio.weight", "blkio.bfq.weight"];
    let weight_device = ["blkio.weight_device", "blkio.bfq.weight_device"];
    Controllers {
        version: layout.version,
        memory: file(Controller::Memory, "memory.limit_in_bytes"),
        swap: file(Controller::Memory, "memory.memsw.limit_in_bytes"),
        memory_reservation: file(Controller::Memory, "memory.soft_limit_in_bytes"),
        swappiness: file(Controller::Memory, "memory.swappiness"),
        oom_kill_disable: file(Controller::Memory, "memory.oom_control"),
        cpu: file(Controller::Cpu, "cpu.shares"),
        cpu_cfs: file(Controller::Cpu, "cpu.cfs_quota_us"),
        cpu_realtime: file(Controller::Cpu, "cpu.rt_runtime_us"),
        cpuset: layout.find(Controller::Cpuset).is_some(),
        pids: layout.find(Controller::Pids).is_some(),
        blkio_weight: weight.iter().any(|name| file(Controller::Blkio, name)),
        blkio_weight_device: weight_device.iter().any(|name| file(Controller::Blkio, name)),
        blkio_throttle: file(Controller::Blkio, "blkio.throttle.read_bps_device"),
        hugetlb: layout.find(Controller::Hugetlb).is_some(),
        devices: layout.find(Controller::Devices).is_some(),
        freezer: layout.find(Controller::Freezer).is_some(),
    }
}

/// cgroup v2: device rules are eBPF and the freezer is part of the core, so both are always there.
fn probe_v2(layout: &Layout) -> Controllers {
    let has = |controller| layout.find(controller).is_some();
    Controllers {
        version: layout.version,
        memory: has(Controller::Memory),
        swap: has(Controller::Memory) && Path::new("/proc/swaps").exists(),
        memory_reservation: has(Controller::Memory),
        swappiness: false,
        oom_kill_disable: false,
        cpu: has(Controller::Cpu),
        cpu_cfs: has(Controller::Cpu),
        cpu_realtime: false,
        cpuset: has(Controller::Cpuset),
        pids: has(Controller::Pids),
        blkio_weight: has(Controller::Blkio),
        blkio_weight_device: has(Controller::Blkio),
        blkio_throttle: has(Controller::Blkio),
        hugetlb: has(Controller::Hugetlb),
        devices: true,
        freezer: true,
    }
}

impl Controllers {
    /// Without the limits of controllers that a part of version 2's hierarchy does not hand down. Rules for devices need
    /// a program that only the machine's root may load; what is no device node there needs none.
    fn only(self, handed: &[Controller]) -> Self {
        let has = |controller| handed.contains(&controller);
        let (memory, cpu, io) = (has(Controller::Memory), has(Controller::Cpu), has(Controller::Blkio));
        Controllers {
            memory: self.memory && memory,
            swap: self.swap && memory,
            memory_reservation: self.memory_reservation && memory,
            cpu: self.cpu && cpu,
            cpu_cfs: self.cpu_cfs && cpu,
            cpuset: self.cpuset && has(Controller::Cpuset),
            pids: self.pids && has(Controller::Pids),
            blkio_weight: self.blkio_weight && io,
            blkio_weight_device: self.blkio_weight_device && io,
            blkio_throttle: self.blkio_throttle && io,
            hugetlb: self.hugetlb && has(Controller::Hugetlb),
            devices: false,
            ..self
        }
    }

    fn none() -> Self {
        Controllers {
            version: Version::V1,
            memory: false,
            swap: false,
            memory_reservation: false,
            swappiness: false,
            oom_kill_disable: false,
            cpu: false,
            cpu_cfs: false,
            cpu_realtime: false,
            cpuset: false,
            pids: false,
            blkio_weight: false,
            blkio_weight_device: false,
            blkio_throttle: false,
            hugetlb: false,
            devices: false,
            freezer: false,
        }
    }

    /// Docker's `Warnings` of `/info`, in dockerd's words and order.
    pub fn warnings(&self) -> Vec<String> {
        let v1 = self.version != Version::V2;
        let checks = [
            (self.memory, "No memory limit support"),
            (self.swap, "No swap limit support"),
            (!v1 || self.oom_kill_disable, "No oom kill disable support"),
            (self.cpu_cfs, "No cpu cfs quota support"),
            (self.cpu_cfs, "No cpu cfs period support"),
            (self.cpu, "No cpu shares support"),
            (self.cpuset, "No cpuset support"),
            (!v1 || self.blkio_weight, "No blkio weight support"),
            (!v1 || self.blkio_weight_device, "No blkio weight_device support"),
            (self.blkio_throttle, "No blkio throttle.read_bps_device support"),
            (self.blkio_throttle, "No blkio throttle.write_bps_device support"),
            (self.blkio_throttle, "No blkio throttle.read_iops_device support"),
            (self.blkio_throttle, "No blkio throttle.write_iops_device support"),
        ];
        checks.iter().filter(|(ok, _)| !ok).map(|(_, text)| format!("WARNING: {text}")).collect()
    }
}
