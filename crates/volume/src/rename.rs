//! `rename`: another name for the same bytes.
//!
//! ```text
//! record "new, renamed from old" ─► bytes move ─► record "old" goes ─► record "new"
//! ```
//! Whoever dies on the way is found by [`finish`], which goes on from the first record.

use std::{collections::BTreeMap, sync::Arc};

use berth_record::{Durability, Store};
use berth_spec::model;

use crate::{
    Driver, Error, Record, Result, Volumes,
    create::check_name,
    record::TABLE,
    volumes::{Entry, blocking},
};

impl Volumes {
    /// Renames a volume that no container uses.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`], [`Error::InUse`], [`Error::Exists`], [`Error::InvalidName`], [`Error::Unsupported`] for a
    /// plugin's.
    pub async fn rename(&self, name: &str, new: &str) -> Result<model::Volume> {
        check_name(new)?;
        if name == new {
            return Err(Error::Exists(new.to_owned()));
        }
        let shared = &self.shared;
        let _turns = shared.turns.take_both(name, new).await;
        let entry = shared.entry(name)?;
        if !entry.users.is_empty() {
            return Err(Error::InUse {
                act: "rename",
                name: name.to_owned(),
                users: entry.users.into_iter().collect(),
            });
        }
        if shared.entry(new).is_ok() {
            return Err(Error::Exists(new.to_owned()));
        }
        let old = entry.record;
        let moving = Record { name: new.to_owned(), renamed_from: Some(name.to_owned()), ..(*old).clone() };
        let (store, driver) = (shared.store.clone(), shared.driver_of(&old)?);
        let record = Arc::new(Record { renamed_from: None, ..moving.clone() });
        let done = record.clone();
        blocking(move || {
            store.put(TABLE, &moving.name, &moving, &"", Durability::Power)?;
            driver.rename(old.location(), &moving.name).inspect_err(|_| {
                let _ = store.delete(TABLE, &moving.name, Durability::Power);
            })?;
            settle(&store, &old.name, &done)
        })
        .await?;
        {
            let mut table = shared.table();
            table.remove(name);
            table.insert(new.to_owned(), Entry::new(record.clone()));
        }
        let attributes = [("driver", record.driver.clone()), ("oldName", name.to_owned())];
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value)).into();
        shared.events.publish("volume", "rename", new, attributes);
        Ok(shared.view(&record))
    }
}

fn settle(store: &Store, old: &str, record: &Record) -> Result<()> {
    store.delete(TABLE, old, Durability::Power)?;
    store.put(TABLE, &record.name, record, &"", Durability::Power)?;
    Ok(())
}

/// Finishes renames that a crash cut short.
pub(crate) fn finish(table: &mut BTreeMap<String, Entry>, drivers: &[Driver], store: &Store) -> Result<()> {
    let cut: Vec<Arc<Record>> =
        table.values().filter(|entry| entry.record.renamed_from.is_some()).map(|entry| entry.record.clone()).collect();
    for record in cut {
        let Some(old) = record.renamed_from.clone() else { continue };
        let Some(driver) = drivers.iter().find(|driver| driver.name() == record.driver) else { continue };
        driver.rename(crate::Location { name: &old, options: &record.options }, &record.name)?;
        let whole = Arc::new(Record { renamed_from: None, ..(*record).clone() });
        settle(store, &old, &whole)?;
        table.remove(&old);
        table.insert(whole.name.clone(), Entry::new(whole));
    }
    Ok(())
}
