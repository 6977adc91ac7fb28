//! What was built before, with its logs: `builder history`.

use std::{path::PathBuf, sync::Mutex};

use berth_kit::time::Timestamp;
use berth_record::{Durability, Store};
use serde::{Deserialize, Serialize};

use crate::{Error, Event, Result};

/// The kind of the records.
const TABLE: &str = "build-history";
/// Builds that are kept.
const KEPT_MAX: usize = 100;
/// Bytes of one build's events that are kept.
const EVENTS_MAX: usize = 4 << 20;

/// One build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BuildRecord {
    /// Its name.
    pub reference: String,
    /// What it was called by: its first tag, or its Dockerfile.
    pub name: String,
    /// When it began.
    pub created: Timestamp,
    /// When it ended; none for one that runs, or ran when the daemon ended.
    pub completed: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<String>,
    /// Ids of its images.
    pub images: Vec<String>,
    /// Names of its image.
    pub tags: Vec<String>,
    /// The stage it made.
    pub target: Option<String>,
    /// The Dockerfile's name.
    pub dockerfile: String,
    /// Platforms.
    pub platforms: Vec<String>,
    /// Names of the arguments; values may be secret.
    pub args: Vec<String>,
    /// Steps.
    pub steps: usize,
    /// Steps that came from the cache.
    pub cached: usize,
}

/// Which builds.
#[derive(Debug, Clone, Default)]
pub struct HistoryFilter {
    /// Only this one, or those that begin so.
    pub reference: Option<String>,
}

/// All of them.
pub(crate) struct History {
    store: Store,
    logs: PathBuf,
    turn: Mutex<()>,
}

impl History {
    pub fn open(store: Store, logs: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&logs).map_err(Error::file("create", &logs))?;
        Ok(Self { store, logs, turn: Mutex::new(()) })
    }

    /// The builds, newest first.
    pub fn list(&self, filter: &HistoryFilter) -> Result<Vec<BuildRecord>> {
        let (mut all, _) = self.store.summaries::<BuildRecord>(TABLE)?;
        all.sort_by_key(|(_, record)| std::cmp::Reverse(record.created));
        let fits =
            |record: &BuildRecord| filter.reference.as_ref().is_none_or(|wanted| record.reference.starts_with(wanted));
        Ok(all.into_iter().map(|(_, record)| record).filter(fits).collect())
    }

    /// The one that `reference` means; the newest for an empty one, `^1` for the one before.
    pub fn find(&self, reference: &str) -> Result<BuildRecord> {
        let all = self.list(&HistoryFilter::default())?;
        let back =
            if reference.is_empty() { Some(0) } else { reference.strip_prefix('^').and_then(|text| text.parse().ok()) };
        let found = match back {
            Some(number) => all.into_iter().nth(number),
            None => all.into_iter().find(|record| record.reference.starts_with(reference)),
        };
        found.ok_or_else(|| Error::Missing(format!("no build record {reference:?}")))
    }

    pub fn put(&self, record: &BuildRecord) -> Result<()> {
        Ok(self.store.put(TABLE, &record.reference, record, &(), Durability::Crash)?)
    }

    /// Keeps what a build told and forgets the oldest builds.
    pub fn keep(&self, record: &BuildRecord, events: &[Event]) -> Result<()> {
        let _turn = self.turn.lock();
        self.put(record)?;
        let mut text = Vec::new();
        for event in events {
            let Ok(line) = serde_json::to_vec(event) else { continue };
            if text.len() + line.len() > EVENTS_MAX && matches!(event, Event::Log(_)) {
                continue;
            }
            text.extend(line);
            text.push(b'\n');
        }
        let path = self.path(&record.reference);
        std::fs::write(&path, text).map_err(Error::file("write", &path))?;
        for old in self.list(&HistoryFilter::default())?.iter().skip(KEPT_MAX) {
            self.remove(&old.reference)?;
        }
        Ok(())
    }

    /// What a build told, a JSON document a line.
    pub fn events(&self, reference: &str) -> Result<Vec<u8>> {
        let path = self.path(reference);
        std::fs::read(&path).map_err(Error::file("read", path))
    }

    pub fn remove(&self, reference: &str) -> Result<()> {
        self.store.delete(TABLE, reference, Durability::Crash)?;
        let path = self.path(reference);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
            _ => Ok(()),
        }
    }

    fn path(&self, reference: &str) -> PathBuf {
        let name = crate::checksum::hex(&crate::checksum::of_bytes(reference.as_bytes()));
        self.logs.join(format!("{name}.jsonl"))
    }
}
