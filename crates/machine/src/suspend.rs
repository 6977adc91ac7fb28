//! `suspend`: the guest stands still, on disk or (`--memory`) in its monitor.
//!
//! ```text
//! stop ─► state into .draft-…/state ─► snapshot.toml ─► rename to saved/ ─► quit
//!                                                       └ from here on it is suspended, whoever dies
//! ```

use std::{sync::Arc, time::Duration};

use serde_json::json;

use crate::{
    Error, Machines, Result, Status,
    files::{self, Draft},
    machines::{Machine, blocking},
    record::Snapshot,
    snapshot::now_ns,
    state,
};

/// A state is written within this time, whatever the disk.
pub const SAVE_LIMIT: Duration = Duration::from_secs(600);
const QUIT_LIMIT: Duration = Duration::from_secs(10);

impl Machines {
    /// Suspends a machine.
    ///
    /// # Errors
    /// [`Error::State`] for one that does not run; the monitor's words when its state cannot be saved, and the machine
    /// goes on.
    pub async fn suspend(&self, name: &str, in_memory: bool) -> Result<()> {
        let machine = self.find(name)?;
        let _turn = machine.turn.lock().await;
        let advice = "only a running machine is suspended";
        if in_memory {
            machine.require(&[Status::Running], advice)?;
            self.pause(&machine).await?;
            self.shared.publish(&machine, "pause");
            return Ok(());
        }
        machine.require(&[Status::Running, Status::Paused], advice)?;
        let was_running = machine.status() == Status::Running;
        self.pause(&machine).await?;
        let saved = self.save_state(&machine).await;
        if let Err(error) = saved {
            if was_running {
                self.go_on(&machine).await?;
            }
            return Err(error);
        }
        let keeper = self.shared.keeper(&machine.name);
        let told = keeper.execute("quit", json!({})).await.is_ok();
        if !told || !machine.ended_within(QUIT_LIMIT).await {
            let _ = keeper.kill().await;
            machine.ended_within(QUIT_LIMIT).await;
        }
        self.shared.publish(&machine, "suspend");
        Ok(())
    }

    async fn save_state(&self, machine: &Arc<Machine>) -> Result<()> {
        let home = self.shared.home(&machine.name);
        let draft = {
            let home = home.clone();
            blocking(move || Draft::below(&home)).await?
        };
        let keeper = self.shared.keeper(&machine.name);
        let written = state::save(&keeper, &draft.path.join("state"), SAVE_LIMIT).await;
        written.map_err(|reason| machine.monitor(reason))?;
        let definition = machine.present();
        blocking(move || {
            let snapshot = Snapshot {
                version: 1,
                name: "saved".to_owned(),
                taken_ns: now_ns(),
                live: true,
                definition: definition.as_ref().clone(),
            };
            files::sync(&draft.path.join("state"))?;
            files::write_snapshot(&draft.path, &snapshot)?;
            draft.settle(&files::saved(&home), "the saved state")
        })
        .await
    }

    /// The guest stands still.
    pub(crate) async fn pause(&self, machine: &Machine) -> Result<()> {
        let told = self.shared.keeper(&machine.name).execute("stop", json!({})).await;
        told.map_err(|reason| machine.monitor(reason))?;
        machine.set_status(Status::Paused);
        Ok(())
    }

    /// The guest goes on.
    pub(crate) async fn go_on(&self, machine: &Machine) -> Result<()> {
        let told = self.shared.keeper(&machine.name).execute("cont", json!({})).await;
        told.map_err(|reason| machine.monitor(reason))?;
        machine.set_status(Status::Running);
        Ok(())
    }
}

impl Error {
    /// What a suspended machine cannot have done to it.
    pub(crate) const SUSPENDED: &'static str =
        "let it go on with `berth vm resume`, or give its state up with `berth vm stop --force`";
}
