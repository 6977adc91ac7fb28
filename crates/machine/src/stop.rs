//! `stop`: the power button, and after a while the plug.

use std::time::Duration;

use serde_json::json;
use tokio::sync::MutexGuard;

use crate::{
    Error, Machines, Result, Status, files,
    machines::{Machine, blocking},
};

/// A guest that is booting does not hear the power button: it is pressed again.
const PRESS_PERIOD: Duration = Duration::from_secs(10);
/// A monitor that was told to end does so within this time.
const QUIT_LIMIT: Duration = Duration::from_secs(5);
/// A monitor that was killed is gone within this time.
const KILL_LIMIT: Duration = Duration::from_secs(30);

/// How a machine is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// How long its guest may take to shut down.
    pub timeout: Duration,
    /// At once, without asking the guest; a suspended machine loses its state.
    pub force: bool,
}

impl Default for Stop {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(60), force: false }
    }
}

impl Machines {
    /// Stops a machine.
    ///
    /// # Errors
    /// [`Error::Already`] for one that is off; [`Error::State`] for a suspended one without `force`.
    pub async fn stop(&self, name: &str, how: Stop) -> Result<()> {
        let machine = self.find(name)?;
        let (_turn, killed) = self.turn_by_force(&machine, how.force).await;
        match machine.status() {
            Status::Off if killed => Ok(()),
            Status::Off => Err(Error::Already(machine.name.clone(), "off")),
            Status::Suspended if how.force => self.discard(&machine).await,
            Status::Suspended => Err(Error::State {
                name: machine.name.clone(),
                state: "suspended",
                advice: "let it go on with `berth vm start`, or give its state up with `berth vm stop --force`",
            }),
            Status::Running | Status::Paused => self.stop_in_turn(&machine, how).await,
        }
    }

    /// A machine's turn; with force, whoever waits for its guest does not hold it up: its monitor is killed, which is told.
    pub(crate) async fn turn_by_force<'a>(&self, machine: &'a Machine, force: bool) -> (MutexGuard<'a, ()>, bool) {
        if let Ok(turn) = machine.turn.try_lock() {
            return (turn, false);
        }
        let kills = force && machine.status().is_alive();
        let killed = kills && self.shared.keeper(&machine.name).kill().await.is_ok();
        (machine.turn.lock().await, killed)
    }

    /// Stops a machine that is alive. The caller has its turn.
    pub(crate) async fn stop_in_turn(&self, machine: &Machine, how: Stop) -> Result<()> {
        if !how.force && self.press(machine, how.timeout).await {
            self.shared.publish(machine, "stop");
            return Ok(());
        }
        let keeper = self.shared.keeper(&machine.name);
        // A monitor that does not answer is killed; either way its end is what counts.
        let told = keeper.execute("quit", json!({})).await.is_ok();
        if !told || !machine.ended_within(QUIT_LIMIT).await {
            let _ = keeper.kill().await;
            if !machine.ended_within(KILL_LIMIT).await {
                return Err(machine.monitor("it cannot be killed: look at it with ps".to_owned()));
            }
        }
        self.shared.publish(machine, "stop");
        Ok(())
    }

    /// Presses the power button; whether the guest shut down in time.
    async fn press(&self, machine: &Machine, timeout: Duration) -> bool {
        let keeper = self.shared.keeper(&machine.name);
        if machine.status() == Status::Paused && keeper.execute("cont", json!({})).await.is_err() {
            return false;
        }
        let mut left = timeout;
        loop {
            if keeper.execute("system_powerdown", json!({})).await.is_err() {
                // It ended just now, or never will by itself.
                return machine.ended_within(QUIT_LIMIT).await;
            }
            let period = left.min(PRESS_PERIOD);
            if machine.ended_within(period).await {
                return true;
            }
            left -= period;
            if left.is_zero() {
                return false;
            }
        }
    }

    /// A suspended machine loses its state. The caller has its turn.
    pub(crate) async fn discard(&self, machine: &Machine) -> Result<()> {
        let saved = files::saved(&self.shared.home(&machine.name));
        blocking(move || files::remove_tree(&saved)).await?;
        machine.set_status(Status::Off);
        Ok(())
    }
}
