//! The end of a machine: who brought it about tells it here, and the machine's loop hears of it.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use crate::{
    Error, Result,
    acpi::{RESET_VALUE, SOFT_OFF},
};

/// `SLP_EN` of the sleep control register (ACPI 6.5, 4.8.3.7).
const SLEEP: u8 = 1 << 5;

/// How a machine ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The guest reset itself, or crashed so badly that its processor did.
    Reset,
    /// The guest switched itself off.
    PowerOff,
    /// The host asked for it.
    Stopped,
    /// A processor could not go on.
    Failed(String),
}

/// See the module. The first end counts.
#[derive(Debug, Clone)]
pub struct End {
    outcome: Arc<Mutex<Option<Outcome>>>,
    event: Arc<EventFd>,
}

impl End {
    /// # Errors
    /// [`Error::System`].
    pub fn new() -> Result<Self> {
        let event = EventFd::new(EFD_NONBLOCK).map_err(Error::io("make an event"))?;
        Ok(Self { outcome: Arc::default(), event: Arc::new(event) })
    }

    /// Ends the machine.
    pub fn tell(&self, outcome: Outcome) {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(outcome);
        // It can only fail when the counter is full, and then it is readable anyway.
        let _ = self.event.write(1);
    }

    /// A write to the reset and sleep control register.
    pub fn tell_power(&self, value: u8) {
        match value {
            RESET_VALUE => self.tell(Outcome::Reset),
            value if value & SLEEP != 0 && value >> 2 & 7 == SOFT_OFF => self.tell(Outcome::PowerOff),
            _ => {}
        }
    }

    /// How it ended, when it has.
    #[must_use]
    pub fn told(&self) -> Option<Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Readable once it has ended.
    #[must_use]
    pub fn event(&self) -> &EventFd {
        &self.event
    }
}
