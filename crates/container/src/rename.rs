//! `rename`.

use crate::{Containers, Error, Result, record::Status, validate};

impl Containers {
    /// Gives a container another name.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name or the present one, [`Error::NameTaken`].
    pub async fn rename(&self, name: &str, new: &str) -> Result<()> {
        let new = new.strip_prefix('/').unwrap_or(new);
        if new.is_empty() {
            return Err(Error::Invalid("Neither old nor new names may be empty".to_owned()));
        }
        validate::name(new)?;
        let container = self.shared.find(name)?;
        let _turn = container.turn.lock().await;
        let old = container.read().name.clone();
        if old == new {
            return Err(Error::Invalid("Renaming a container with the same name as its current name".to_owned()));
        }
        if matches!(container.status(), Status::Removing | Status::Dead) {
            return Err(Error::Conflict("container is marked for removal and cannot be renamed".to_owned()));
        }
        self.shared.reserve(new, &container.id)?;
        if let Err(error) = self.shared.change(&container, |record| new.clone_into(&mut record.name)) {
            self.shared.free(new);
            return Err(error);
        }
        self.shared.free(&old);
        self.shared.networks.rename(&container.id, new).await.map_err(Error::Network)?;
        self.shared.publish(&container, "rename", &[("oldName", format!("/{old}"))]);
        Ok(())
    }
}
