//! The table of volumes: which exist, and who uses them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use berth_event::Bus;
use berth_record::Store;
use berth_spec::model;

use crate::{Driver, Error, Local, Record, Result, Scratch, record::TABLE};

/// Settings of the volume noun.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where state that survives a reboot lives.
    pub data_root: PathBuf,
    /// Where state that does not survive one lives.
    pub runtime_root: PathBuf,
}

/// The volume noun; clones share one table.
#[derive(Clone)]
pub struct Volumes {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub store: Store,
    pub events: Bus,
    pub drivers: Vec<Driver>,
    table: Mutex<BTreeMap<String, Entry>>,
    /// Held while a volume is made, mounted, unmounted or removed; readers never take it.
    pub turn: tokio::sync::Mutex<()>,
}

/// One volume in memory.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub record: Arc<Record>,
    pub users: BTreeSet<String>,
}

impl Volumes {
    /// Reads the records; cut-short removals are finished in the background by [`Volumes::sweep`].
    ///
    /// # Errors
    /// [`Error::Record`] when they cannot be read.
    pub fn open(config: &Config, store: Store, events: Bus) -> Result<Self> {
        let (records, spoiled) = store.summaries::<Record>(TABLE)?;
        for error in spoiled {
            tracing::warn!(error = &error as &dyn std::error::Error, "volume record left out");
        }
        let entry = |record| Entry { record: Arc::new(record), users: BTreeSet::new() };
        let table = records.into_iter().map(|(name, record)| (name, entry(record))).collect();
        let drivers: Vec<Driver> = vec![
            Arc::new(Local::new(config.data_root.join("volumes"))),
            Arc::new(Scratch::new(config.runtime_root.join("scratch"))),
        ];
        let shared = Shared { store, events, drivers, table: Mutex::new(table), turn: tokio::sync::Mutex::new(()) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Finishes removals that a crash cut short. Blocks.
    pub fn sweep(&self) {
        for driver in &self.shared.drivers {
            if let Err(error) = driver.sweep() {
                tracing::warn!(
                    driver = driver.name(),
                    error = &error as &dyn std::error::Error,
                    "cannot sweep volumes"
                );
            }
        }
    }

    /// Names of all drivers.
    #[must_use]
    pub fn drivers(&self) -> Vec<&'static str> {
        self.shared.drivers.iter().map(|driver| driver.name()).collect()
    }

    /// The volume named `name`.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`].
    pub fn inspect(&self, name: &str) -> Result<model::Volume> {
        let entry = self.shared.entry(name)?;
        Ok(self.shared.view(&entry.record))
    }

    /// Notes that `container` uses the volume, mounts it if that is not done yet, and returns the host directory.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`], or why it cannot be mounted.
    pub async fn acquire(&self, name: &str, container: &str) -> Result<PathBuf> {
        let _turn = self.shared.turn.lock().await;
        let record = self.shared.entry(name)?.record;
        let driver = self.shared.driver_of(&record)?;
        let path = blocking(move || driver.mount(record.location())).await?;
        self.adopt(name, container);
        Ok(path)
    }

    /// Notes that `container` uses the volume, as it did before the daemon started.
    pub fn adopt(&self, name: &str, container: &str) {
        if let Some(entry) = self.shared.table().get_mut(name) {
            entry.users.insert(container.to_owned());
        }
    }

    /// Forgets that `container` uses the volume; after the last one it is unmounted.
    pub async fn release(&self, name: &str, container: &str) {
        let _turn = self.shared.turn.lock().await;
        let last = |entry: &mut Entry| entry.users.remove(container) && entry.users.is_empty();
        let record = {
            let mut table = self.shared.table();
            let Some(entry) = table.get_mut(name) else { return };
            if !last(entry) {
                return;
            }
            entry.record.clone()
        };
        if record.options.is_empty() {
            return;
        }
        let Ok(driver) = self.shared.driver_of(&record) else { return };
        if let Err(error) = blocking(move || driver.unmount(record.location())).await {
            tracing::warn!(volume = name, error = &error as &dyn std::error::Error, "cannot unmount");
        }
    }

    /// Full identifiers of the containers that use the volume.
    #[must_use]
    pub fn users(&self, name: &str) -> Vec<String> {
        self.shared.table().get(name).map(|entry| entry.users.iter().cloned().collect()).unwrap_or_default()
    }
}

impl Shared {
    pub fn table(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn entry(&self, name: &str) -> Result<Entry> {
        self.table().get(name).cloned().ok_or_else(|| Error::NoSuchVolume(name.to_owned()))
    }

    pub fn driver(&self, name: &str) -> Option<Driver> {
        self.drivers.iter().find(|driver| driver.name() == name).cloned()
    }

    pub fn driver_of(&self, record: &Record) -> Result<Driver> {
        self.driver(&record.driver)
            .ok_or_else(|| Error::NoSuchDriver { name: record.name.clone(), driver: record.driver.clone() })
    }

    pub fn view(&self, record: &Record) -> model::Volume {
        let path = self.driver(&record.driver).map(|driver| driver.mountpoint(&record.name));
        record.view(&path.unwrap_or_default())
    }

    pub fn publish(&self, action: &str, record: &Record) {
        let attributes = BTreeMap::from([("driver".to_owned(), record.driver.clone())]);
        self.events.publish("volume", action, &record.name, attributes);
    }
}

/// Runs `act` where blocking is allowed.
pub(crate) async fn blocking<T: Send + 'static>(act: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(act).await?
}
