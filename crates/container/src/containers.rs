//! The table of containers: who exists, under which name, in which state.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use berth_event::Bus;
use berth_image::Images;
use berth_network::Networks;
use berth_record::{Durability, Store};
use berth_snapshot::Snapshotter;
use berth_volume::Volumes;
use tokio::sync::watch;

use crate::{
    Counts, Error, Result,
    config::Config,
    exec::ExecTable,
    health::Monitor,
    id_range::IdRanges,
    record::{Record, Status, TABLE},
};

/// The container noun; clones share one table.
#[derive(Clone)]
pub struct Containers {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub config: Config,
    pub store: Store,
    pub snapshots: Arc<dyn Snapshotter>,
    pub images: Images,
    pub networks: Networks,
    pub volumes: Volumes,
    pub events: Bus,
    pub ids: IdRanges,
    pub execs: ExecTable,
    /// Held by whoever starts the resolver.
    pub resolver: tokio::sync::Mutex<()>,
    table: RwLock<Table>,
    stopping: std::sync::atomic::AtomicBool,
}

#[derive(Default)]
struct Table {
    by_id: BTreeMap<String, Arc<Container>>,
    by_name: HashMap<String, String>,
}

/// One container in memory.
pub(crate) struct Container {
    /// Full identifier.
    pub id: String,
    record: RwLock<Record>,
    /// Held by whoever makes a transition; readers never take it, so `ps` and `inspect` do not wait.
    pub turn: tokio::sync::Mutex<()>,
    /// What waiters see.
    pub progress: watch::Sender<Progress>,
    /// Wakes a pending restart early.
    pub nudge: tokio::sync::Notify,
    /// The health check in progress.
    health: Mutex<Monitor>,
    /// Clients that attached before the start.
    early: Mutex<Vec<EarlyAttach>>,
}

/// A client that attached before the start.
pub(crate) struct EarlyAttach {
    /// It sends standard input.
    pub stdin: bool,
    /// It wants standard output.
    pub stdout: bool,
    /// It wants standard error.
    pub stderr: bool,
    /// The engine's end of its connection.
    pub far: tokio::io::DuplexStream,
}

/// What waiters see of a container's life.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// The present state.
    pub status: Status,
    /// How often it has exited.
    pub exits: u64,
    /// The last exit code.
    pub exit_code: i64,
    /// Why there is none.
    pub error: Option<String>,
    /// It is gone.
    pub removed: bool,
}

impl Container {
    pub fn new(record: Record) -> Self {
        let progress =
            Progress { status: record.state.status, exit_code: record.state.exit_code, ..Progress::default() };
        Self {
            id: record.id.clone(),
            record: RwLock::new(record),
            turn: tokio::sync::Mutex::new(()),
            progress: watch::Sender::new(progress),
            nudge: tokio::sync::Notify::new(),
            health: Mutex::default(),
            early: Mutex::default(),
        }
    }

    /// The record as it is now; held for the length of a look only.
    pub fn read(&self) -> RwLockReadGuard<'_, Record> {
        self.record.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Record> {
        self.record.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn health(&self) -> MutexGuard<'_, Monitor> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn early_attaches(&self) -> MutexGuard<'_, Vec<EarlyAttach>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn status(&self) -> Status {
        self.read().state.status
    }
}

impl Containers {
    /// An empty table over the other nouns; [`Containers::recover`] fills it.
    #[must_use]
    pub fn new(
        config: Config,
        store: Store,
        snapshots: Arc<dyn Snapshotter>,
        images: Images,
        networks: Networks,
        volumes: Volumes,
        events: Bus,
    ) -> Self {
        let shared = Shared {
            config,
            store,
            snapshots,
            images,
            networks,
            volumes,
            events,
            ids: IdRanges::default(),
            execs: ExecTable::default(),
            resolver: tokio::sync::Mutex::default(),
            table: RwLock::default(),
            stopping: std::sync::atomic::AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// How many containers are in which state.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for container in self.shared.all() {
            counts.total += 1;
            match container.status() {
                Status::Paused => {
                    counts.paused += 1;
                    counts.running += 1;
                }
                Status::Running | Status::Restarting => counts.running += 1,
                _ => counts.stopped += 1,
            }
        }
        counts
    }

    /// Containers made from image `image_id`, and whether each runs.
    #[must_use]
    pub fn of_image(&self, image_id: &str) -> Vec<(String, bool)> {
        let all = self.shared.all();
        let of = all.iter().filter(|container| container.read().image_id == image_id);
        of.map(|container| (container.id.clone(), container.status().is_alive())).collect()
    }
}

impl Shared {
    fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn table_mut(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every container, in order of id.
    pub fn all(&self) -> Vec<Arc<Container>> {
        self.table().by_id.values().cloned().collect()
    }

    /// The container with this full id, name (with or without slash) or unambiguous id prefix.
    pub fn find(&self, name: &str) -> Result<Arc<Container>> {
        let table = self.table();
        let plain = name.strip_prefix('/').unwrap_or(name);
        let exact = table.by_id.get(name).or_else(|| table.by_name.get(plain).and_then(|id| table.by_id.get(id)));
        if let Some(container) = exact {
            return Ok(container.clone());
        }
        if !berth_kit::id::is_prefix(name) {
            return Err(Error::NoSuchContainer(name.to_owned()));
        }
        let mut fitting = table.by_id.range(name.to_owned()..).take_while(|(id, _)| id.starts_with(name));
        match (fitting.next(), fitting.next()) {
            (Some((_, container)), None) => Ok(container.clone()),
            (Some(_), Some(_)) => Err(Error::Ambiguous(name.to_owned())),
            (None, _) => Err(Error::NoSuchContainer(name.to_owned())),
        }
    }

    /// Reserves `name` for `id`; `false` and the holder when it is taken.
    pub fn reserve(&self, name: &str, id: &str) -> Result<()> {
        use std::collections::hash_map::Entry;
        match self.table_mut().by_name.entry(name.to_owned()) {
            Entry::Occupied(holder) => Err(Error::NameTaken { name: name.to_owned(), id: holder.get().clone() }),
            Entry::Vacant(free) => {
                free.insert(id.to_owned());
                Ok(())
            }
        }
    }

    /// Frees a reserved name.
    pub fn free(&self, name: &str) {
        self.table_mut().by_name.remove(name);
    }

    /// Adds a container under its reserved name.
    pub fn insert(&self, record: Record) -> Arc<Container> {
        let container = Arc::new(Container::new(record));
        let name = container.read().name.clone();
        let mut table = self.table_mut();
        table.by_name.insert(name, container.id.clone());
        table.by_id.insert(container.id.clone(), container.clone());
        container
    }

    /// Forgets a container and its name.
    pub fn forget(&self, container: &Container) {
        let name = container.read().name.clone();
        let mut table = self.table_mut();
        table.by_id.remove(&container.id);
        if table.by_name.get(&name) == Some(&container.id) {
            table.by_name.remove(&name);
        }
    }

    /// Changes a record in memory and on disk, in this order of visibility: disk, then memory, then waiters.
    pub fn change(&self, container: &Container, edit: impl FnOnce(&mut Record)) -> Result<()> {
        let mut record = container.read().clone();
        edit(&mut record);
        self.save(&record)?;
        self.adopt(container, record);
        Ok(())
    }

    /// As [`Shared::change`], for what is so whether or not it can be written: that a user wants a container's end, and
    /// that it has ended. On a full or broken disk it is kept in memory alone, and the log says so.
    pub fn change_anyway(&self, container: &Container, edit: impl Fn(&mut Record)) {
        let Err(error) = self.change(container, &edit) else { return };
        tracing::warn!(
            container = container.id,
            error = &error as &dyn std::error::Error,
            "a change is kept in memory alone"
        );
        let mut record = container.read().clone();
        edit(&mut record);
        self.adopt(container, record);
    }

    fn adopt(&self, container: &Container, record: Record) {
        let status = record.state.status;
        *container.write() = record;
        container.progress.send_if_modified(|progress| {
            let changed = progress.status != status;
            progress.status = status;
            changed
        });
    }

    /// Writes a record to disk.
    pub fn save(&self, record: &Record) -> Result<()> {
        // What goes away at its exit anyway need not survive a power cut.
        let durability = if record.auto_remove() || record.state.status != Status::Created {
            Durability::Crash
        } else {
            Durability::Power
        };
        Ok(self.store.put(TABLE, &record.id, record, &"", durability)?)
    }

    /// Whether the daemon is shutting down; no restart policy acts then.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Marks the beginning of the daemon's shutdown.
    pub fn begin_stopping(&self) {
        self.stopping.store(true, std::sync::atomic::Ordering::Release);
    }

    /// Publishes a container event with the attributes Docker gives.
    pub fn publish(&self, container: &Container, action: &str, extra: &[(&str, String)]) {
        let record = container.read();
        let mut attributes: BTreeMap<String, String> =
            record.config.labels.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        attributes.insert("image".to_owned(), record.image_ref.clone());
        attributes.insert("name".to_owned(), record.name.clone());
        attributes.extend(extra.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
        drop(record);
        self.events.publish("container", action, &container.id, attributes);
    }
}
