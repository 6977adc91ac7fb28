//! A machine: built by a recipe, turned by one loop, ended by the guest or by the host.
//!
//! ```text
//! build ─► Paused ─► Running ─► ended (Outcome)
//!            ▲──pause──┘
//!            └─ snapshot: state and memory into a directory; restore is another way to build
//! ```
//!
//! The loop owns the machine and makes every transition. Virtual processors and devices only tell it that something
//! happened: by the event of a queue, a device's own descriptor, or the machine's end.

mod build;
mod bus;
mod control;
mod snapshot;
mod turn;

use std::{
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kvm_ioctls::VmFd;
use serde::Serialize;

use crate::{
    Result,
    legacy::End,
    memory::Memory,
    processor::Processors,
    virtio::{Transport, balloon::Gauge},
};

pub use self::bus::Counts;
pub use self::snapshot::{MEMORY_FILE, STATE_FILE};
pub use crate::legacy::Outcome;

/// Whether the guest's processors run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// They stand still.
    Paused,
    /// They run.
    Running,
}

/// See the module.
pub struct Machine {
    // Ended first: they use what follows.
    processors: Processors,
    phase: Phase,
    bus: Arc<bus::Devices>,
    vm: VmFd,
    msrs: Vec<u32>,
    memory: Memory,
    memory_bytes: u64,
    gauge: Option<Arc<Gauge>>,
    end: End,
    set: OwnedFd,
    control: Option<control::Door>,
    /// Where the memory came from, to be named in answers.
    restored: Option<PathBuf>,
    /// System calls are given up before the guest runs.
    jail: bool,
}

impl Machine {
    /// What the processors asked of the monitor so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.bus.counts
    }

    /// Lets the guest run.
    pub fn resume(&mut self) {
        self.processors.resume();
        self.phase = Phase::Running;
    }

    /// Stops the guest; nothing of it runs any more when this returns.
    pub fn pause(&mut self) {
        self.processors.pause();
        self.phase = Phase::Paused;
    }

    /// Runs the machine to its end.
    ///
    /// # Errors
    /// [`crate::Error::System`] when the monitor itself cannot go on.
    pub fn run(mut self) -> Result<Outcome> {
        if self.jail {
            crate::jail::close_calls()?;
        }
        self.resume();
        self.turn()
    }
}

fn locked(transport: &Mutex<Transport>) -> MutexGuard<'_, Transport> {
    transport.lock().unwrap_or_else(PoisonError::into_inner)
}
