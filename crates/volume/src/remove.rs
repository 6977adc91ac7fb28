//! `rm`.

use std::sync::Arc;

use berth_record::Durability;

use crate::{Error, Record, Result, Volumes, record::TABLE, volumes::blocking};

impl Volumes {
    /// Removes an unused volume with all its bytes. With `force` a volume that does not exist is no error.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`], [`Error::InUse`], or why its directory cannot be removed.
    pub async fn remove(&self, name: &str, force: bool) -> Result<()> {
        let _turn = self.shared.turn.lock().await;
        let entry = match self.shared.entry(name) {
            Err(_) if force => return Ok(()),
            outcome => outcome?,
        };
        if !entry.users.is_empty() {
            return Err(Error::InUse { name: name.to_owned(), users: entry.users.into_iter().collect() });
        }
        self.destroy(entry.record).await
    }

    /// Removes directory, record and table entry; the caller holds the turn.
    pub(crate) async fn destroy(&self, record: Arc<Record>) -> Result<()> {
        let driver = self.shared.driver_of(&record)?;
        let (store, doomed) = (self.shared.store.clone(), record.clone());
        blocking(move || {
            driver.remove(doomed.location())?;
            Ok(store.delete(TABLE, &doomed.name, Durability::Power)?)
        })
        .await?;
        self.shared.table().remove(&record.name);
        self.shared.publish("destroy", &record);
        Ok(())
    }
}
