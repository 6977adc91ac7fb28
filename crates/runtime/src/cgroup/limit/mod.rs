//! Writing limits: OCI resources (runtime-spec, "Linux Container Configuration: Control groups") to control files.

mod v1;
pub(super) mod v2;

use std::io;

use oci_spec::runtime::{LinuxMemory, LinuxResources};

use super::error::{Error, Result};
use super::layout::Controller;
use super::{Cgroup, file, systemd};

impl Cgroup {
    /// Changes the limits that `resources` names and leaves the others; -1 lifts a limit.
    ///
    /// Device rules are changed only if there are any.
    pub fn update(&self, resources: &LinuxResources) -> Result<()> {
        // A unit of systemd's gets the new limits from it, or it would put the old ones back. One that it does not know
        // is a directory like any other.
        if systemd::is_unit(&self.path) && systemd::is_booted() {
            let _ = systemd::update(&self.path, resources);
        }
        self.apply(resources, false)
    }

    /// `fresh`: the cgroup was made just now and still has the kernel's defaults.
    pub(super) fn apply(&self, resources: &LinuxResources, fresh: bool) -> Result<()> {
        if self.layout.is_v2() { self.apply_v2(resources, fresh) } else { self.apply_v1(resources, fresh) }
    }

    /// Writes one limit; `limit` words what was asked for, should the machine not have it.
    fn set(&self, controller: Controller, limit: &'static str, name: &str, value: &str) -> Result<()> {
        let missing = || Error::MissingController { limit, controller: controller.name() };
        let hierarchy = self.layout.find(controller).ok_or_else(missing)?;
        match self.write(hierarchy, name, value) {
            // On v1 a control file of a mounted controller is there or not by kernel configuration.
            Err(Error::Write { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(Error::MissingSetting { limit, file: name.to_owned() })
            }
            other => other,
        }
    }

    /// Whether the control file exists in this cgroup.
    fn offers(&self, controller: Controller, name: &str) -> bool {
        self.layout.find(controller).is_some_and(|h| file::exists(h.root(), &self.control(name)))
    }

    /// A memory limit below what is in use fails with EBUSY; the error tells how much that is.
    fn explain_memory(&self, error: Error, limit: i64, usage: &str, peak: &str) -> Error {
        let Error::Write { source, .. } = &error else { return error };
        let Some(hierarchy) = self.layout.find(Controller::Memory) else { return error };
        if source.raw_os_error() != Some(libc::EBUSY) {
            return error;
        }
        let number = |name| {
            self.read(hierarchy, name).ok().flatten().and_then(|text| file::parse_number(&text)).unwrap_or_default()
        };
        Error::MemoryInUse { limit, usage: number(usage), peak: number(peak) }
    }
}

/// The swap setting: as given, or unlimited when memory is made unlimited and swap was not named.
pub(super) fn swap_limit(memory: &LinuxMemory) -> Option<i64> {
    match (memory.limit(), memory.swap()) {
        (Some(-1), None | Some(0)) => Some(-1),
        (_, Some(0)) => None,
        (_, swap) => swap,
    }
}
