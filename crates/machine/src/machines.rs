//! The noun: which machines exist, and what each is doing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use berth_event::Bus;
use berth_network::Networks;
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    Error, Result, files,
    keeper::client::Keeper,
    record::{Definition, Exit},
};

/// First of the user ids that monitors have on the host: the last of those that the engine takes for its containers.
const IDS_FIRST: u32 = 0x7f00_0000;
/// Ids of one monitor.
pub const IDS_LEN: u32 = 4096;
/// Machines that run at a time.
const RUNNING_MAX: u32 = 4095;

/// Settings of the noun.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where state that survives a reboot lives.
    pub data_root: PathBuf,
    /// Where state that does not survive one lives.
    pub runtime_root: PathBuf,
    /// The engine's program.
    pub exe: PathBuf,
    /// Control groups of monitors are below this one.
    pub cgroup_parent: String,
    /// Name servers for guests on networks that have none of their own.
    pub dns: Vec<IpAddr>,
}

/// What a machine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing.
    Off,
    /// Its guest runs.
    Running,
    /// Its guest stands still, in memory.
    Paused,
    /// Its guest stands still, on disk.
    Suspended,
}

impl Status {
    /// As people read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Suspended => "suspended",
        }
    }

    /// Whether it has a monitor.
    #[must_use]
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// All machines; clones share them.
#[derive(Clone)]
pub struct Machines {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub config: Config,
    pub networks: Networks,
    pub events: Bus,
    table: Mutex<BTreeMap<String, Arc<Machine>>>,
    ids: Mutex<BTreeSet<u32>>,
}

/// One machine in memory.
pub struct Machine {
    /// Its name.
    pub name: String,
    /// Held by whoever changes what it does.
    pub turn: tokio::sync::Mutex<()>,
    facts: Mutex<Facts>,
    status: watch::Sender<Status>,
}

/// What is known of a machine.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What it is.
    pub definition: Arc<Definition>,
    /// What it was when it was started; of one that runs, whose definition may have changed meanwhile.
    pub running: Option<Arc<Definition>>,
    /// When it was started, in nanoseconds of Unix time; of one that runs.
    pub started_ns: Option<i64>,
    /// First of its monitor's ids; of one that runs.
    pub ids_base: Option<u32>,
    /// How it ended when it ran last.
    pub exit: Option<Exit>,
}

impl Machine {
    pub(crate) fn new(definition: Definition, status: Status, exit: Option<Exit>) -> Arc<Self> {
        let name = definition.name.clone();
        let definition = Arc::new(definition);
        let facts = Facts { definition, running: None, started_ns: None, ids_base: None, exit };
        Arc::new(Self {
            name,
            turn: tokio::sync::Mutex::default(),
            facts: Mutex::new(facts),
            status: watch::Sender::new(status),
        })
    }

    /// What it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        *self.status.borrow()
    }

    pub(crate) fn set_status(&self, status: Status) {
        self.status.send_replace(status);
    }

    /// What is known of it.
    #[must_use]
    pub fn facts(&self) -> Facts {
        self.lock().clone()
    }

    pub(crate) fn definition(&self) -> Arc<Definition> {
        Arc::clone(&self.lock().definition)
    }

    /// What it is right now: of one that runs, what it was when it was started.
    pub(crate) fn present(&self) -> Arc<Definition> {
        let facts = self.lock();
        Arc::clone(facts.running.as_ref().unwrap_or(&facts.definition))
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.lock());
    }

    /// Waits until its monitor has ended and that is booked; `false` when it has not within `limit`.
    pub(crate) async fn ended_within(&self, limit: Duration) -> bool {
        let mut status = self.status.subscribe();
        let ended = tokio::time::timeout(limit, status.wait_for(|status| !status.is_alive())).await;
        ended.is_ok()
    }

    /// Refuses what needs another status.
    pub(crate) fn require(&self, wanted: &[Status], advice: &'static str) -> Result<()> {
        let status = self.status();
        if wanted.contains(&status) {
            return Ok(());
        }
        Err(Error::State { name: self.name.clone(), state: status.as_str(), advice })
    }

    /// A refusal of its monitor.
    pub(crate) fn monitor(&self, reason: String) -> Error {
        Error::Monitor { name: self.name.clone(), reason }
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machines {
    /// Reads all definitions; what an earlier daemon left half made is removed. Blocks.
    ///
    /// # Errors
    /// [`Error::File`] when the directory cannot be read.
    pub fn open(config: Config, networks: Networks, events: Bus) -> Result<Self> {
        let shared = Shared { config, networks, events, table: Mutex::default(), ids: Mutex::default() };
        let root = shared.root();
        files::make_directory(&root)?;
        for name in files::names(&root)? {
            let home = root.join(&name);
            if files::is_draft(&name) {
                files::remove_tree(&home)?;
                continue;
            }
            match files::read_definition(&home) {
                Ok(definition) if definition.name == name => {
                    files::sweep(&home)?;
                    let status = if files::saved(&home).exists() { Status::Suspended } else { Status::Off };
                    let exit = files::read_exit(&home);
                    shared.table().insert(name, Machine::new(definition, status, exit));
                }
                Ok(definition) => {
                    tracing::error!(name, definition.name, "a machine's directory has another name, and is left alone");
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(name, error, "a machine's definition is unreadable, and left alone");
                }
            }
        }
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(crate) fn find(&self, name: &str) -> Result<Arc<Machine>> {
        self.shared.find(name)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Machine>> {
        self.shared.table().values().cloned().collect()
    }
}

impl Shared {
    /// Where machines are.
    pub fn root(&self) -> PathBuf {
        self.config.data_root.join("machines")
    }

    /// A machine's directory.
    pub fn home(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// A running machine's directory.
    pub fn run(&self, name: &str) -> PathBuf {
        self.config.runtime_root.join("machines").join(name)
    }

    /// A running machine's keeper.
    pub fn keeper(&self, name: &str) -> Keeper {
        Keeper::of(&self.run(name))
    }

    /// The control group of a machine's monitor.
    pub fn cgroup(&self, id: &str) -> String {
        format!("/{}/machine-{}", self.config.cgroup_parent.trim_matches('/'), &id[..16])
    }

    pub fn table(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Machine>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By name, or by the whole uuid.
    pub fn find(&self, name: &str) -> Result<Arc<Machine>> {
        let table = self.table();
        let found = table.get(name).or_else(|| table.values().find(|machine| machine.definition().uuid == name));
        found.cloned().ok_or_else(|| Error::NoSuchMachine(name.chars().take(80).collect()))
    }

    /// Whether no machine has this name.
    pub fn require_free(&self, name: &str) -> Result<()> {
        match self.table().contains_key(name) {
            true => Err(Error::Exists { what: "machine", name: name.to_owned() }),
            false => Ok(()),
        }
    }

    /// Takes a machine whose directory is in its place into the table.
    pub fn insert(&self, definition: Definition) -> Arc<Machine> {
        let machine = Machine::new(definition, Status::Off, None);
        self.table().insert(machine.name.clone(), Arc::clone(&machine));
        machine
    }

    pub fn take_ids(&self) -> Result<u32> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let free = (0..RUNNING_MAX).map(|index| IDS_FIRST + index * IDS_LEN).find(|base| !ids.contains(base));
        let base = free.ok_or_else(|| Error::Host(format!("{RUNNING_MAX} machines run already: stop one")))?;
        ids.insert(base);
        Ok(base)
    }

    pub fn claim_ids(&self, base: u32) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(base);
    }

    pub fn release_ids(&self, base: u32) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).remove(&base);
    }

    pub fn publish(&self, machine: &Machine, action: &str) {
        let attributes = BTreeMap::from([("name".to_owned(), machine.name.clone())]);
        self.events.publish("machine", action, &machine.definition().uuid, attributes);
    }

    /// Replaces a machine's definition, on disk and in memory.
    pub fn store(&self, machine: &Machine, definition: Definition) -> Result<()> {
        files::write_definition(&self.home(&machine.name), &definition)?;
        machine.change(|facts| facts.definition = Arc::new(definition));
        Ok(())
    }
}

/// Does what blocks on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

/// The files of a machine's own.
pub(crate) fn own_files(home: &Path) -> PathBuf {
    home.join("files")
}
