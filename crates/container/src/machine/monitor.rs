//! Which monitor runs a container's machine, and why.

use std::collections::BTreeMap;

use berth_vm::{
    host::{self, Monitor, Wanted},
    plan::Plan,
};

use super::{RUNTIME, vcpus};
use crate::{
    Containers, Error, Result,
    record::{MountKind, Record},
};

/// The annotation by which a container asks for one: `berth`, `qemu`, or `auto`.
const WANTED: &str = "io.berth.vm.wanted-monitor";

/// Which monitor runs machines here whose container wants nothing of it, and why, as annotations.
#[must_use]
pub fn facts() -> BTreeMap<String, String> {
    chosen(Ok(Wanted { vcpus: 1, nics: 1, ..Wanted::default() }))
}

impl Containers {
    /// The same for a container: of its last start, or what a start would choose.
    pub(crate) fn machine_facts(&self, record: &Record) -> BTreeMap<String, String> {
        match Plan::read(&self.shared.config.bundle_dir(&record.id)) {
            Ok(plan) if !plan.why.is_empty() => shown(plan.backend.as_str(), plan.why),
            _ => chosen(wanted(record)),
        }
    }
}

/// What a container wants of its monitor.
pub(super) fn wanted(record: &Record) -> Result<Wanted> {
    Ok(Wanted {
        shares: shares(record),
        vcpus: vcpus(record),
        nics: u32::try_from(record.endpoints.len()).unwrap_or(1).max(1),
        monitor: asked_for(record)?,
    })
}

/// Whether directories of the host are shared with the guest.
pub(super) fn shares(record: &Record) -> bool {
    record.mounts.iter().any(|mount| mount.kind != MountKind::Tmpfs)
}

/// The monitor that a container asks for.
///
/// # Errors
/// [`Error::Invalid`] for a name that is none.
pub(super) fn asked_for(record: &Record) -> Result<Option<Monitor>> {
    let named = record.host.annotations.as_ref().and_then(|all| all.get(WANTED)).map(String::as_str);
    named_monitor(named)
}

fn named_monitor(named: Option<&str>) -> Result<Option<Monitor>> {
    match named {
        None | Some("" | "auto") => Ok(None),
        Some(name) => Monitor::parse(name).map(Some).ok_or_else(|| {
            Error::Invalid(format!("{WANTED}={name}: there are the monitors berth and qemu, and auto, which chooses"))
        }),
    }
}

fn chosen(wanted: Result<Wanted>) -> BTreeMap<String, String> {
    let choice = wanted.and_then(|wanted| host::choose(wanted).map_err(super::refused));
    match choice {
        Ok(choice) => shown(choice.backend.as_str(), choice.why),
        Err(error) => shown("none", error.to_string()),
    }
}

fn shown(monitor: &str, why: String) -> BTreeMap<String, String> {
    BTreeMap::from([(format!("{RUNTIME}.monitor"), monitor.to_owned()), (format!("{RUNTIME}.why"), why)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_monitor_is_asked_for_by_one_of_its_names() {
        for (name, monitor) in [
            (None, None),
            (Some(""), None),
            (Some("auto"), None),
            (Some("berth"), Some(Monitor::Berth)),
            (Some("qemu"), Some(Monitor::Qemu)),
        ] {
            assert_eq!(named_monitor(name).expect("a name"), monitor);
        }
        let error = named_monitor(Some("xen")).expect_err("no name").to_string();
        assert!(error.contains("berth and qemu"), "{error}");
    }
}
