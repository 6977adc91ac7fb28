//! Pausing all processes at once.
//!
//! v1 (`freezer-subsystem.rst`): `THAWED` → `FREEZING` → `FROZEN`, where freezing may stall on a task that is being
//! created; writing again moves it on. v2: `cgroup.freeze`, with the outcome in `cgroup.events`.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::Cgroup;
use super::error::{Error, Result};
use super::layout::Controller;

/// How long all tasks may take to stop.
const FREEZE_PATIENCE: Duration = Duration::from_secs(2);

impl Cgroup {
    /// Stops every process; returns when all have stopped, and undoes it if they do not within two seconds.
    pub fn freeze(&self) -> Result<()> {
        let began = Instant::now();
        let mut pause = Duration::from_micros(20);
        self.set_frozen(true)?;
        while !self.is_frozen()? {
            if began.elapsed() > FREEZE_PATIENCE {
                self.set_frozen(false)?;
                let waited_ms = FREEZE_PATIENCE.as_millis() as u64;
                return Err(Error::Freeze { path: self.display(), state: "frozen", waited_ms });
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(10));
            if !self.layout.is_v2() {
                self.set_frozen(true)?;
            }
        }
        Ok(())
    }

    /// Lets every process run on.
    pub fn thaw(&self) -> Result<()> {
        self.set_frozen(false)
    }

    /// Whether all its processes are stopped now.
    pub fn is_frozen(&self) -> Result<bool> {
        if self.layout.is_v2() {
            let events = self.read(self.primary(), "cgroup.events")?.unwrap_or_default();
            return Ok(events.lines().any(|line| line == "frozen 1"));
        }
        let Some(hierarchy) = self.layout.find(Controller::Freezer) else { return Ok(false) };
        Ok(self.read(hierarchy, "freezer.state")?.is_some_and(|state| state.trim() == "FROZEN"))
    }

    fn set_frozen(&self, frozen: bool) -> Result<()> {
        if self.layout.is_v2() {
            return self.write(self.primary(), "cgroup.freeze", if frozen { "1" } else { "0" });
        }
        let missing = Error::MissingController { limit: "pausing", controller: Controller::Freezer.name() };
        let hierarchy = self.layout.find(Controller::Freezer).ok_or(missing)?;
        self.write(hierarchy, "freezer.state", if frozen { "FROZEN" } else { "THAWED" })
    }
}
