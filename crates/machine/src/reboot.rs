//! `reboot`: stop and start; hard, the reset button.

use serde_json::json;

use crate::{Machines, Result, Status, Stop};

const ADVICE: &str = "only a running machine is rebooted; start it with `berth vm start`";

impl Machines {
    /// Has the guest shut down, and starts the machine anew: with a definition that was changed meanwhile.
    ///
    /// # Errors
    /// [`crate::Error::State`] for one that does not run; what hinders its start.
    pub async fn reboot(&self, name: &str, how: Stop) -> Result<()> {
        let machine = self.find(name)?;
        let _turn = machine.turn.lock().await;
        machine.require(&[Status::Running, Status::Paused], ADVICE)?;
        self.stop_in_turn(&machine, how).await?;
        self.start_in_turn(&machine, None).await
    }

    /// Presses the reset button: the guest knows nothing of it, and the monitor stays.
    ///
    /// # Errors
    /// [`crate::Error::State`] for one that does not run.
    pub async fn reset(&self, name: &str) -> Result<()> {
        let machine = self.find(name)?;
        let _turn = machine.turn.lock().await;
        machine.require(&[Status::Running], ADVICE)?;
        let told = self.shared.keeper(&machine.name).execute("system_reset", json!({})).await;
        told.map(drop).map_err(|reason| machine.monitor(reason))
    }
}
