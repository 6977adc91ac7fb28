//! What is remembered of a container between two calls, and what the kernel says about it now.

use std::collections::HashMap;
use std::path::PathBuf;

use berth_runtime::cgroup::{Cgroup, CgroupPath};
use berth_sys::process::birth;
use oci_spec::runtime::{ContainerState, State};
use serde::{Deserialize, Serialize};

use crate::store::Place;

/// `state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The shape of this file.
    pub version: u32,
    /// The container's name.
    pub id: String,
    /// Process 1, as the caller sees it.
    pub pid: i32,
    /// When it was born, in clock ticks since boot: with the number it names one process for ever.
    pub born: u64,
    /// The bundle it was made from.
    pub bundle: PathBuf,
    /// Its root file system, as the specification names it.
    pub rootfs: PathBuf,
    /// When it was made.
    pub created: jiff::Timestamp,
    /// Its control groups.
    pub cgroup: Option<String>,
    /// The caller's own words about it.
    pub annotations: Option<HashMap<String, String>>,
    /// Name of the user who made it.
    pub owner: String,
}

/// Where a container stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Made, and held by its latch.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its process 1 has ended.
    Stopped,
}

impl Status {
    /// The specification's word, and runc's for the one it lacks.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

impl Record {
    /// Asks the kernel.
    pub fn status(&self, place: &Place) -> Status {
        if birth(self.pid) != Some(self.born) {
            Status::Stopped
        } else if place.latch().exists() {
            Status::Created
        } else if self.cgroup().is_some_and(|cgroup| cgroup.is_frozen().unwrap_or(false)) {
            Status::Paused
        } else {
            Status::Running
        }
    }

    /// Its control groups, if it has any.
    pub fn cgroup(&self) -> Option<Cgroup> {
        let path = CgroupPath::parse(self.cgroup.as_ref()?).ok()?;
        Cgroup::open(&path).ok()
    }

    /// What hooks and agents are told.
    pub fn state(&self, status: Status) -> State {
        let mut state = State::default();
        state.set_version(crate::SPEC_VERSION.to_owned()).set_id(self.id.clone()).set_bundle(self.bundle.clone());
        state.set_annotations(self.annotations.clone());
        state.set_status(match status {
            Status::Created => ContainerState::Created,
            Status::Running | Status::Paused => ContainerState::Running,
            Status::Stopped => ContainerState::Stopped,
        });
        if status != Status::Stopped {
            state.set_pid(Some(self.pid));
        }
        state
    }
}
