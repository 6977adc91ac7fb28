//! `create`: name, driver, record, directory, event.

use std::{collections::HashMap, sync::Arc};

use berth_kit::time::Timestamp;
use berth_record::Durability;
use berth_spec::model;

use crate::{
    ANONYMOUS_LABEL, Driver, Error, Record, Result, Volumes,
    record::{TABLE, VERSION},
    volumes::{Entry, blocking},
};

impl Volumes {
    /// Makes a volume, or returns the one that has this name already.
    ///
    /// An empty `name` makes an anonymous volume, an empty `driver` means `local`, or
    /// whichever one a volume of that name has.
    ///
    /// # Errors
    /// A name or option that cannot be, an unknown driver, a name that belongs to another driver, or a directory that
    /// cannot be made; nothing stays behind then.
    pub async fn create(
        &self,
        name: &str,
        driver: &str,
        options: HashMap<String, String>,
        labels: HashMap<String, String>,
    ) -> Result<model::Volume> {
        let wanted = driver;
        let driver = if wanted.is_empty() { "local" } else { wanted };
        let record = new_record(name, driver, options, labels)?;
        let shared = &self.shared;
        let _turn = shared.turns.take(&record.name).await;
        if let Ok(entry) = shared.entry(&record.name) {
            if !wanted.is_empty() && entry.record.driver != wanted {
                return Err(Error::NameConflict(record.name));
            }
            return Ok(shared.view(&entry.record));
        }
        let Some(chosen) = shared.driver(driver) else {
            return Err(Error::NoSuchDriver { name: record.name, driver: driver.to_owned() });
        };
        let record = Arc::new(record);
        self.write(record.clone(), chosen).await?;
        shared.table().insert(record.name.clone(), Entry::new(record.clone()));
        shared.publish("create", &record);
        Ok(shared.view(&record))
    }

    async fn write(&self, record: Arc<Record>, driver: Driver) -> Result<()> {
        let store = self.shared.store.clone();
        // An anonymous volume goes with its container: a power cut may take it as well.
        let durability =
            if record.labels.contains_key(ANONYMOUS_LABEL) { Durability::Crash } else { Durability::Power };
        blocking(move || {
            driver.check(record.location())?;
            store.put(TABLE, &record.name, &*record, &"", durability)?;
            driver.create(record.location()).inspect_err(|_| {
                let _ = driver.remove(record.location());
                let _ = store.delete(TABLE, &record.name, Durability::Crash);
            })
        })
        .await
    }
}

fn new_record(
    name: &str,
    driver: &str,
    options: HashMap<String, String>,
    labels: HashMap<String, String>,
) -> Result<Record> {
    let mut labels: std::collections::BTreeMap<_, _> = labels.into_iter().collect();
    let name = match name {
        "" => {
            labels.entry(ANONYMOUS_LABEL.to_owned()).or_default();
            berth_kit::id::generate()
        }
        name => {
            check_name(name)?;
            name.to_owned()
        }
    };
    Ok(Record {
        version: VERSION,
        name,
        driver: driver.to_owned(),
        created_at: Timestamp::now(),
        labels,
        options: options.into_iter().collect(),
        ..Record::default()
    })
}

/// Refuses what cannot be a volume's name.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.chars().count() == 1 {
        return Err(Error::ShortName(name.to_owned()));
    }
    if berth_kit::name::is_valid(name) { Ok(()) } else { Err(Error::InvalidName(name.to_owned())) }
}
