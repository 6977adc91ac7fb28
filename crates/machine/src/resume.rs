//! `resume`: a machine that stands still goes on.

use std::sync::Arc;

use crate::{
    Error, Machines, Result, Status, files,
    machines::{Machine, blocking},
    start::Warm,
};

impl Machines {
    /// Lets a paused or suspended machine go on.
    ///
    /// # Errors
    /// [`Error::State`] for one that is off; why it cannot go on, and then its state is kept.
    pub async fn resume(&self, name: &str) -> Result<()> {
        let machine = self.find(name)?;
        let _turn = machine.turn.lock().await;
        match machine.status() {
            Status::Paused => self.go_on(&machine).await?,
            Status::Suspended => self.resume_from_disk(&machine).await?,
            Status::Running => return Err(Error::Already(machine.name.clone(), "running")),
            Status::Off => machine.require(&[Status::Paused], "start it with `berth vm start`")?,
        }
        self.shared.publish(&machine, "resume");
        Ok(())
    }

    /// A suspended machine goes on; its state is removed when it does. The caller has its turn.
    pub(crate) async fn resume_from_disk(&self, machine: &Arc<Machine>) -> Result<()> {
        let saved = files::saved(&self.shared.home(&machine.name));
        let directory = saved.clone();
        let definition = blocking(move || Ok(files::read_snapshot(&directory)?.definition)).await?;
        let warm = Warm { state: saved.join("state"), definition };
        self.start_in_turn(machine, Some(warm)).await?;
        blocking(move || files::remove_tree(&saved)).await
    }
}
