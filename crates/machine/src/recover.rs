//! After a start of the daemon: find out what became of every machine.
//!
//! | on disk | its keeper | then |
//! |---|---|---|
//! | a run | answers | follow it again |
//! | a run and a saved state | answers, the monitor has handed its state over | finish the suspension |
//! | a run and a saved state | answers, the monitor runs | it was resumed: the saved state goes |
//! | a run | is gone | book its exit record; what is left of the run goes |
//! | `restoring` | – | finish the restore |

use std::{sync::Arc, time::Duration};

use serde_json::json;

use crate::{
    Machines, Result, Status, files,
    machines::{Machine, blocking},
    record::Run,
    restore, state,
};

/// A monitor that was told to end does so within this time.
const QUIT_LIMIT: Duration = Duration::from_secs(10);

impl Machines {
    /// Finds running machines again. Returns the ids that networks know them by.
    pub async fn recover(&self) -> Vec<String> {
        let mut living = Vec::new();
        for machine in self.all() {
            let outcome = self.find_again(&machine).await;
            match outcome {
                Ok(true) => living.push(machine.definition().id()),
                Ok(false) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(machine = machine.name, error, "a machine is not brought back in order");
                }
            }
        }
        living
    }

    /// Whether it lives.
    async fn find_again(&self, machine: &Arc<Machine>) -> Result<bool> {
        let (home, run) = (self.shared.home(&machine.name), self.shared.run(&machine.name));
        let _turn = machine.turn.lock().await;
        let keeper = self.shared.keeper(&machine.name);
        if run.exists() {
            match keeper.watch().await {
                Ok((watch, paused)) => {
                    if let Some(record) = files::read_json::<Run>(&run.join("run.json")) {
                        self.shared.claim_ids(record.ids_base);
                        let running = files::read_definition(&run).ok().map(Arc::new);
                        machine.change(|facts| {
                            facts.running = running;
                            facts.started_ns = Some(record.started_ns);
                            facts.ids_base = Some(record.ids_base);
                        });
                    }
                    machine.set_status(if paused { Status::Paused } else { Status::Running });
                    self.follow(machine, watch);
                    return self.settle_saved(machine).await;
                }
                Err(_) => {
                    let exit = files::read_exit(&home);
                    machine.change(|facts| facts.exit = exit);
                    self.shared.clear(machine).await;
                }
            }
        }
        let finished = blocking(move || restore::finish(&home)).await?;
        if let Some(definition) = finished {
            machine.change(|facts| facts.definition = Arc::new(definition));
        }
        Ok(false)
    }

    /// A suspension or its end was cut short.
    async fn settle_saved(&self, machine: &Arc<Machine>) -> Result<bool> {
        let (keeper, saved) = (self.shared.keeper(&machine.name), files::saved(&self.shared.home(&machine.name)));
        let monitor = |reason| machine.monitor(reason);
        let answer = keeper.execute("query-status", json!({})).await.map_err(monitor)?;
        let status = answer["status"].as_str().unwrap_or_default();
        if !saved.exists() {
            // Its state was written, and nobody has it: it goes on.
            if status == "postmigrate" {
                self.go_on(machine).await?;
            }
            return Ok(true);
        }
        if status == "postmigrate" {
            let _ = keeper.execute("quit", json!({})).await;
            if !machine.ended_within(QUIT_LIMIT).await {
                let _ = keeper.kill().await;
                machine.ended_within(QUIT_LIMIT).await;
            }
            return Ok(false);
        }
        state::incoming(&keeper, QUIT_LIMIT).await.map_err(monitor)?;
        self.go_on(machine).await?;
        blocking(move || files::remove_tree(&saved)).await?;
        Ok(true)
    }
}
