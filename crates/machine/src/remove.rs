//! `rm`: a machine with everything of its own.

use std::time::Duration;

use crate::{Machines, Result, Status, Stop, files, machines::blocking};

impl Machines {
    /// Removes a machine, its snapshots and its files; files of the host stay.
    ///
    /// # Errors
    /// [`crate::Error::State`] for one that runs or is suspended, without `force`.
    pub async fn remove(&self, name: &str, force: bool) -> Result<()> {
        let machine = self.find(name)?;
        let (_turn, _) = self.turn_by_force(&machine, force).await;
        if machine.status().is_alive() && force {
            self.stop_in_turn(&machine, Stop { timeout: Duration::ZERO, force: true }).await?;
        }
        if !force {
            machine.require(
                &[Status::Off],
                "stop it with `berth vm stop`, or remove it as it is with `berth vm rm --force`",
            )?;
        }
        // Who waited for the same turn finds another machine of this name, or none.
        let found = self.find(name)?;
        if !std::sync::Arc::ptr_eq(&found, &machine) {
            return Ok(());
        }
        let (home, root) = (self.shared.home(&machine.name), self.shared.root());
        let renamed = blocking(move || {
            // Under a draft's name it is gone, and what is left of it is swept.
            let draft = root.join(format!(".draft-{}", &berth_kit::id::generate()[..16]));
            std::fs::rename(&home, &draft).map_err(crate::Error::file("remove", &home))?;
            Ok(draft)
        })
        .await?;
        self.shared.table().remove(&machine.name);
        self.shared.publish(&machine, "destroy");
        blocking(move || files::remove_tree(&renamed)).await
    }
}
