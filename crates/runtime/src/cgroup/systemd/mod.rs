//! systemd's way to a cgroup: a scope that the manager makes, and hands over (`Delegate`).
//!
//! ```text
//!   maker ── StartTransientUnit(scope, its own pid, limits) ──► manager: makes the cgroup, moves the maker into it
//!     ├─ clones the container's first process straight into the cgroup
//!     └─ goes back to where it was: the scope lives as long as the container does, and is then collected
//! ```
//!
//! A scope must not be empty when it begins, and the container's first process must be born in its cgroup; hence the
//! maker's visit. All settings beyond systemd's properties are written to the cgroup as with any other. The path says
//! which unit it is: `/a.slice/a-b.slice/name.scope`.
//!
//! Source: org.freedesktop.systemd1(5), systemd.resource-control(5), "Control Group APIs and Delegation" (systemd.io).

mod bus;
mod message;
#[cfg(test)]
mod test;

use std::fs;

use oci_spec::runtime::LinuxResources;

use self::bus::{Bus, Refusal};
use self::message::{Property, Value, Writer};
use super::error::{Error, Result};
use super::limit::swap_limit;
use super::limit::v2::{swap_alone, weight_of_shares};
use super::{Cgroup, CgroupPath, Version};

/// A scope that exists while one of its processes is the caller.
#[derive(Debug)]
pub(crate) struct Visit {
    /// `cgroup.procs` of the cgroup that the caller came from.
    home: String,
}

impl Visit {
    /// Goes back; the scope goes on with the processes that were born in it.
    pub(crate) fn leave(self) -> Result<()> {
        fs::write(&self.home, "0").map_err(|source| Error::Join { path: self.home, pid: 0, source })
    }
}

/// Where systemd puts a slice: `a-b.slice` lies in `a.slice` (systemd.slice(5)). Empty for the root slice, `-.slice`.
pub fn slice_path(slice: &str) -> String {
    let words: Vec<&str> = slice.trim_end_matches(".slice").split('-').filter(|word| !word.is_empty()).collect();
    (1..=words.len()).map(|count| format!("/{}.slice", words[..count].join("-"))).collect()
}

/// Whether this machine's services are systemd's (sd_booted(3)).
pub fn is_booted() -> bool {
    std::path::Path::new("/run/systemd/system").is_dir()
}

/// Starts the scope of a path with the calling process in it, and sets what systemd has no property for.
pub(crate) fn start(path: &CgroupPath, resources: Option<&LinuxResources>) -> Result<(Cgroup, Visit)> {
    let unit = unit(path)?;
    let fail = |refusal| failed("start", path.name(), refusal);
    let own = fs::read_to_string("/proc/self/cgroup");
    let own = own.map_err(|source| Error::Detect { path: "/proc/self/cgroup", source })?;
    let Some(home) = own.lines().find_map(|line| line.strip_prefix("0::")) else {
        return Err(Error::Systemd { act: "start", unit: unit.to_owned(), reason: NEEDS_V2.to_owned() });
    };
    let mut bus = Bus::open().map_err(fail)?;
    let pid = std::process::id();
    start_on(&mut bus, path, pid, resources).map_err(fail)?;
    let visit = Visit { home: format!("/sys/fs/cgroup{}/cgroup.procs", home.trim_end_matches('/')) };
    match Cgroup::open(path).and_then(|cgroup| settle(cgroup, resources)) {
        Ok(cgroup) => Ok((cgroup, visit)),
        Err(error) => {
            visit.leave()?;
            Err(error)
        }
    }
}

const NEEDS_V2: &str =
    "systemd's driver needs cgroup v2: use the driver cgroupfs, or boot with systemd.unified_cgroup_hierarchy=1";

fn settle(cgroup: Cgroup, resources: Option<&LinuxResources>) -> Result<Cgroup> {
    if cgroup.version() != Version::V2 {
        let unit = cgroup.path().name().to_owned();
        return Err(Error::Systemd { act: "start", unit, reason: NEEDS_V2.to_owned() });
    }
    if let Some(resources) = resources {
        cgroup.apply(resources, true)?;
    }
    Ok(cgroup)
}

/// The scope with one process, at a manager's connection.
fn start_on(
    bus: &mut Bus,
    path: &CgroupPath,
    pid: u32,
    resources: Option<&LinuxResources>,
) -> std::result::Result<(), Refusal> {
    let mut properties: Vec<Property> = vec![
        ("Description", Value::Text(format!("berth container {}", path.name().trim_end_matches(".scope")))),
        ("Slice", Value::Text(slice(path))),
        ("Delegate", Value::Flag(true)),
        ("PIDs", Value::Pids(vec![pid])),
        ("DefaultDependencies", Value::Flag(false)),
        ("CollectMode", Value::Text("inactive-or-failed".to_owned())),
    ];
    for accounting in ["MemoryAccounting", "CPUAccounting", "IOAccounting", "TasksAccounting"] {
        properties.push((accounting, Value::Flag(true)));
    }
    properties.extend(resources.map(limits).unwrap_or_default());
    let mut body = Writer::default();
    body.text(path.name());
    body.text("replace");
    body.properties(&properties);
    // a(sa(sv)): units besides, of which there are none.
    body.array(8, |_| {});
    let started = match bus.ask("StartTransientUnit", "ssa(sv)a(sa(sv))", &body) {
        // One of the same name that failed, and that nobody collected.
        Err(Refusal::Said(name, _)) if name.ends_with(".UnitExists") => {
            let mut unit = Writer::default();
            unit.text(path.name());
            // Where it cannot be reset, the second start tells why.
            let _ = bus.ask("ResetFailedUnit", "s", &unit);
            bus.ask("StartTransientUnit", "ssa(sv)a(sa(sv))", &body)?
        }
        other => other?,
    };
    let job = started.words.first().cloned().unwrap_or_default();
    match bus.job_result(&job)?.as_str() {
        "done" => Ok(()),
        result => Err(Refusal::Said("job".to_owned(), format!("its job ended with {result:?}"))),
    }
}

/// Tells the manager the limits of a scope that runs, so that it does not put the old ones back.
pub(super) fn update(path: &CgroupPath, resources: &LinuxResources) -> Result<()> {
    let fail = |refusal| failed("update", path.name(), refusal);
    let mut bus = Bus::open().map_err(fail)?;
    update_on(&mut bus, path, resources).map_err(fail)
}

fn update_on(bus: &mut Bus, path: &CgroupPath, resources: &LinuxResources) -> std::result::Result<(), Refusal> {
    let properties = limits(resources);
    if properties.is_empty() {
        return Ok(());
    }
    let mut body = Writer::default();
    body.text(path.name());
    // At run time only: nothing of a container outlives a boot.
    body.number(1);
    body.properties(&properties);
    bus.ask("SetUnitProperties", "sba(sv)", &body).map(drop)
}

/// The limits that systemd has properties for (systemd.resource-control(5)).
fn limits(resources: &LinuxResources) -> Vec<Property> {
    let bytes = |limit: i64| u64::try_from(limit).unwrap_or(u64::MAX);
    let mut properties = Vec::new();
    if let Some(memory) = resources.memory() {
        if let Some(limit) = memory.limit().filter(|limit| *limit != 0) {
            properties.push(("MemoryMax", Value::Number(bytes(limit))));
        }
        if let Some(swap) = swap_limit(memory) {
            let alone = swap_alone(swap, memory.limit().unwrap_or(0));
            properties.push(("MemorySwapMax", Value::Number(bytes(alone))));
        }
        if let Some(low) = memory.reservation().filter(|bytes| *bytes != 0) {
            properties.push(("MemoryLow", Value::Number(bytes(low))));
        }
    }
    if let Some(cpu) = resources.cpu() {
        if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
            properties.push(("CPUWeight", Value::Number(weight_of_shares(shares))));
        }
        if let Some(quota) = cpu.quota().filter(|quota| *quota != 0) {
            let period = cpu.period().filter(|period| *period != 0).unwrap_or(100_000);
            let per_second = u64::try_from(quota).map_or(u64::MAX, |quota| quota * 1_000_000 / period);
            // Whole hundredths of a second's share, which is what systemd keeps.
            let per_second = if per_second == u64::MAX { per_second } else { per_second.next_multiple_of(10_000) };
            properties.push(("CPUQuotaPerSecUSec", Value::Number(per_second)));
            properties.push(("CPUQuotaPeriodUSec", Value::Number(period)));
        }
        for (name, list) in [("AllowedCPUs", cpu.cpus()), ("AllowedMemoryNodes", cpu.mems())] {
            if let Some(mask) = list.as_deref().and_then(mask) {
                properties.push((name, Value::Bytes(mask)));
            }
        }
    }
    if let Some(pids) = resources.pids()
        && pids.limit() != 0
    {
        properties.push(("TasksMax", Value::Number(bytes(pids.limit()))));
    }
    properties
}

/// `0-2,5` as bits, lowest first; `None` for what is no such list, which the kernel then refuses by name.
fn mask(list: &str) -> Option<Vec<u8>> {
    let mut bits = vec![0_u8; 1024];
    let mut last = 0;
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let (from, to): (usize, usize) = (from.parse().ok()?, to.parse().ok()?);
        if from > to || to >= bits.len() * 8 {
            return None;
        }
        (from..=to).for_each(|bit| bits[bit / 8] |= 1 << (bit % 8));
        last = last.max(to / 8 + 1);
    }
    bits.truncate(last);
    (!bits.is_empty()).then_some(bits)
}

/// Whether a path is that of a scope in a slice.
pub(super) fn is_unit(path: &CgroupPath) -> bool {
    path.name().ends_with(".scope") && path.parent().ends_with(".slice")
}

/// The unit of a path.
fn unit(path: &CgroupPath) -> Result<&str> {
    if is_unit(path) {
        return Ok(path.name());
    }
    Err(Error::Systemd {
        act: "start",
        unit: path.to_string(),
        reason: "a scope in a slice is expected, such as /system.slice/name.scope".to_owned(),
    })
}

/// The last slice of the parent.
fn slice(path: &CgroupPath) -> String {
    path.parent().rsplit('/').next().unwrap_or_default().to_owned()
}

fn failed(act: &'static str, unit: &str, refusal: Refusal) -> Error {
    let reason = match refusal {
        Refusal::Io(error) if !is_booted() => format!("systemd does not run here: {error}"),
        Refusal::Io(error) => error.to_string(),
        Refusal::Said(name, words) if words.is_empty() => name,
        Refusal::Said(_, words) => words,
    };
    Error::Systemd { act, unit: unit.to_owned(), reason }
}
