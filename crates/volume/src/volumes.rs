//! The table of volumes: which exist, and who uses them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use berth_event::Bus;
use berth_record::Store;
use berth_spec::model;

use crate::{
    Driver, Error, Local, Record, Result, Scratch, View,
    plugin::{self, Plugins},
    record::TABLE,
    turn::Turns,
};

/// Settings of the volume noun.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where state that survives a reboot lives.
    pub data_root: PathBuf,
    /// Where state that does not survive one lives.
    pub runtime_root: PathBuf,
    /// Where plugins are found, and how long they are waited for.
    pub plugins: plugin::Settings,
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
    pub plugins: Plugins,
    table: Mutex<BTreeMap<String, Entry>>,
    /// Held while a volume is made, mounted, unmounted or removed; readers never take it.
    pub turns: Turns,
    /// What a crash left half made.
    unfinished: Mutex<Vec<Record>>,
}

/// One volume in memory.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub record: Arc<Record>,
    /// Whoever it must stay for.
    pub users: BTreeSet<String>,
    /// Those of them who look into it at this moment.
    pub active: BTreeSet<String>,
}

impl Entry {
    pub fn new(record: Arc<Record>) -> Self {
        Self { record, users: BTreeSet::new(), active: BTreeSet::new() }
    }
}

impl Volumes {
    /// Reads the records; cut-short acts are finished in the background by [`Volumes::sweep`].
    ///
    /// # Errors
    /// [`Error::Record`] when they cannot be read.
    pub fn open(config: &Config, store: Store, events: Bus) -> Result<Self> {
        let (records, spoiled) = store.summaries::<Record>(TABLE)?;
        for error in spoiled {
            tracing::warn!(error = &error as &dyn std::error::Error, "volume record left out");
        }
        let (unfinished, whole): (Vec<_>, Vec<_>) = records.into_iter().partition(|(_, record)| record.filling);
        let mut table: BTreeMap<_, _> =
            whole.into_iter().map(|(name, record)| (name, Entry::new(Arc::new(record)))).collect();
        let mut plugins = config.plugins.clone();
        plugins.directories.insert(0, config.runtime_root.join("plugins"));
        let drivers: Vec<Driver> = vec![
            Arc::new(Local::new(config.data_root.join("volumes"))),
            Arc::new(Scratch::new(config.runtime_root.join("scratch"))),
        ];
        crate::rename::finish(&mut table, &drivers, &store)?;
        let shared = Shared {
            store,
            events,
            drivers,
            plugins: Plugins::new(plugins),
            table: Mutex::new(table),
            turns: Turns::default(),
            unfinished: Mutex::new(unfinished.into_iter().map(|(_, record)| record).collect()),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Finishes what a crash cut short. Blocks.
    pub fn sweep(&self) {
        let unfinished = std::mem::take(&mut *self.shared.unfinished.lock().unwrap_or_else(PoisonError::into_inner));
        for record in unfinished {
            let removed = self.shared.driver_of(&record).and_then(|driver| driver.remove(record.location()));
            let forgotten = removed
                .and_then(|()| Ok(self.shared.store.delete(TABLE, &record.name, berth_record::Durability::Power)?));
            if let Err(error) = forgotten {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(volume = record.name, error, "cannot remove a volume that was never whole");
            }
        }
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

    /// Names of all drivers: the engine's own, and the plugins that can be found now.
    #[must_use]
    pub fn drivers(&self) -> Vec<String> {
        let mut names: Vec<String> = self.shared.drivers.iter().map(|driver| driver.name().to_owned()).collect();
        names.extend(self.shared.plugins.names());
        names
    }

    /// The volume named `name`; one that only a plugin knows is found too.
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`].
    pub async fn inspect(&self, name: &str) -> Result<View> {
        let known = self.shared.entry(name).ok().map(|entry| entry.record);
        let (shared, name) = (self.shared.clone(), name.to_owned());
        let Some(record) = known else {
            let found = blocking(move || Ok(shared.plugins.find_volume(&name).ok_or(name))).await?;
            return found.map_err(Error::NoSuchVolume);
        };
        let mut view = View { volume: self.shared.view(&record), status: None };
        if self.shared.is_own(&record.driver) {
            return Ok(view);
        }
        let asked = blocking(move || Ok(shared.plugins.driver(&record.driver).map(|plugin| plugin.get(&name)))).await?;
        if let Some(Ok(Some(told))) = asked {
            view.status = told.status;
            if !told.volume.mountpoint.is_empty() {
                view.volume.mountpoint = told.volume.mountpoint;
            }
        }
        Ok(view)
    }

    /// Notes that `user` uses the volume, mounts it if that is not done yet, and returns the host directory. It stays
    /// mounted until [`Volumes::rest`] or [`Volumes::release`].
    ///
    /// # Errors
    /// [`Error::NoSuchVolume`], or why it cannot be mounted.
    pub async fn acquire(&self, name: &str, user: &str) -> Result<PathBuf> {
        let _turn = self.shared.turns.take(name).await;
        let record = self.shared.entry(name)?.record;
        let driver = self.shared.driver_of(&record)?;
        let path = blocking(move || driver.mount(record.location())).await?;
        self.adopt(name, user, true);
        Ok(path)
    }

    /// Notes that `user` uses the volume, as it did before the daemon started; `active` when it looks into it now.
    pub fn adopt(&self, name: &str, user: &str, active: bool) {
        if let Some(entry) = self.shared.table().get_mut(name) {
            entry.users.insert(user.to_owned());
            if active {
                entry.active.insert(user.to_owned());
            }
        }
    }

    /// Notes that `user` does not look into the volume any more, but will again; after the last one it is unmounted.
    pub async fn rest(&self, name: &str, user: &str) {
        self.leave(name, |entry| entry.active.remove(user)).await;
    }

    /// Forgets that `user` uses the volume; after the last one it is unmounted.
    pub async fn release(&self, name: &str, user: &str) {
        self.leave(name, |entry| {
            entry.users.remove(user);
            entry.active.remove(user)
        })
        .await;
    }

    async fn leave(&self, name: &str, leave: impl FnOnce(&mut Entry) -> bool) {
        let _turn = self.shared.turns.take(name).await;
        let record = {
            let mut table = self.shared.table();
            let Some(entry) = table.get_mut(name) else { return };
            let left = leave(entry);
            if !left || !entry.active.is_empty() {
                return;
            }
            entry.record.clone()
        };
        if record.options.is_empty() && self.shared.is_own(&record.driver) {
            return;
        }
        let Ok(driver) = self.shared.driver_of(&record) else { return };
        if let Err(error) = blocking(move || driver.unmount(record.location())).await {
            tracing::warn!(volume = name, error = &error as &dyn std::error::Error, "cannot unmount");
        }
    }

    /// Full identifiers of those that use the volume.
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

    /// Whether the driver is one of the engine's own.
    pub fn is_own(&self, driver: &str) -> bool {
        self.drivers.iter().any(|own| own.name() == driver)
    }

    pub fn driver(&self, name: &str) -> Option<Driver> {
        let own = self.drivers.iter().find(|driver| driver.name() == name).cloned();
        own.or_else(|| Some(self.plugins.driver(name)? as Driver))
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
