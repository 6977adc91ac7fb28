//! `edit`: the definition as people read it, and another in its place.

use crate::{
    Error, Machines, Result, Status,
    create::{require_formats, require_own},
    machines::{blocking, own_files},
    record::Definition,
};

impl Machines {
    /// The definition's text.
    ///
    /// # Errors
    /// [`Error::NoSuchMachine`].
    pub fn definition(&self, name: &str) -> Result<String> {
        self.find(name)?.definition().text()
    }

    /// Replaces the definition; a running machine has it from its next start on, which `true` says.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what is wrong with it; [`Error::State`] for a suspended machine, whose state fits no other.
    pub async fn edit(&self, name: &str, text: &str) -> Result<bool> {
        let machine = self.find(name)?;
        let mut fresh = Definition::parse(text)?;
        let _turn = machine.turn.lock().await;
        let old = machine.definition();
        if fresh.name != machine.name {
            return Err(Error::invalid(format!(
                "the definition is of {}, and a machine keeps its name {}: clone it under another",
                fresh.name, machine.name
            )));
        }
        if !fresh.uuid.is_empty() && fresh.uuid != old.uuid {
            return Err(Error::invalid(format!("a machine keeps its uuid {}", old.uuid)));
        }
        fresh.uuid.clone_from(&old.uuid);
        fresh.identify(false);
        machine.require(&[Status::Off, Status::Running, Status::Paused], Error::SUSPENDED)?;
        let own = own_files(&self.shared.home(&machine.name));
        let checked = blocking(move || {
            require_own(&own, &fresh)?;
            require_formats(&own, &fresh)?;
            Ok(fresh)
        })
        .await?;
        let later = machine.status().is_alive() && checked != *old;
        self.shared.store(&machine, checked)?;
        self.shared.publish(&machine, "update");
        Ok(later)
    }
}
