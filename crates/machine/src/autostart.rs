//! Machines that start with the daemon.

use crate::{Machines, Status};

impl Machines {
    /// Starts the machines that are to start with the daemon, one after the other; suspended ones go on. What hinders
    /// one is logged, and hinders no other.
    pub async fn autostart(&self) {
        for machine in self.all() {
            if !machine.definition().autostart || machine.status().is_alive() {
                continue;
            }
            let was = machine.status();
            if let Err(error) = self.start(&machine.name).await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(machine = machine.name, error, "a machine does not start with the daemon");
            } else {
                let how = if was == Status::Suspended { "goes on" } else { "started" };
                tracing::info!(machine = machine.name, how, "machine of autostart");
            }
        }
    }
}
