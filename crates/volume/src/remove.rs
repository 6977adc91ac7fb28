//! `rm`.

use std::sync::Arc;

use berth_record::Durability;

use crate::{Error, Record, Result, Volumes, record::TABLE, volumes::blocking};

impl Volumes {
    /// Removes an unused volume with all its bytes. With `force` a volume that does not exist is no error, nor is a
    /// plugin that is gone.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`], [`Error::InUse`], or why its directory cannot be removed.
    pub async fn remove(&self, name: &str, force: bool) -> Result<()> {
        let _turn = self.shared.turns.take(name).await;
        let entry = match self.shared.entry(name) {
            Err(error) => {
                let done = self.remove_unknown(name).await?;
                return if done || force { Ok(()) } else { Err(error) };
            }
            Ok(entry) => entry,
        };
        if !entry.users.is_empty() {
            return Err(Error::InUse {
                act: "remove",
                name: name.to_owned(),
                users: entry.users.into_iter().collect(),
            });
        }
        match self.destroy(entry.record.clone()).await {
            // Its plugin is gone for good: what is known of it here can go as well.
            Err(Error::NoSuchDriver { .. } | Error::Unreachable { .. }) if force => self.forget(&entry.record),
            outcome => outcome,
        }
    }

    /// Removes a volume that only a plugin knows; whether there was one.
    async fn remove_unknown(&self, name: &str) -> Result<bool> {
        let (shared, wanted) = (self.shared.clone(), name.to_owned());
        let found = blocking(move || {
            let Some(view) = shared.plugins.find_volume(&wanted) else { return Ok(None) };
            let record = Record { name: wanted, driver: view.volume.driver, ..Record::default() };
            shared.driver_of(&record)?.remove(record.location())?;
            Ok(Some(record))
        })
        .await?;
        let Some(record) = found else { return Ok(false) };
        self.shared.publish("destroy", &record);
        Ok(true)
    }

    fn forget(&self, record: &Record) -> Result<()> {
        self.shared.store.delete(TABLE, &record.name, Durability::Power)?;
        self.shared.table().remove(&record.name);
        self.shared.publish("destroy", record);
        Ok(())
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
