//! What was built before: from the key of a step to the layer that it made.
//!
//! The key is made of what the step read, part by part; the parts are kept beside it so that a step that is not known
//! can say which of them changed.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use berth_image::OwnLayer;
use berth_kit::time::Timestamp;
use berth_record::{Durability, Store};
use berth_spec::Digest;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Result, checksum};

/// The kind of the records.
const TABLE: &str = "build-step";
/// Parts of one key that are kept for explanations.
const PARTS_MAX: usize = 20_000;

/// A step that is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its key, in hexadecimal digits.
    pub key: String,
    /// Where it stood: file, stage and number; the newest of one place explains the next.
    pub slot: String,
    /// The instruction.
    pub text: String,
    /// Key of the step before it, where there was one.
    pub parent: Option<String>,
    /// What it made; none when it changed nothing.
    pub layer: Option<LayerRef>,
    /// When.
    pub created: Timestamp,
    /// When it was taken from the cache for the last time, or made.
    pub last_used: Timestamp,
    /// How often it was taken from the cache.
    pub uses: u64,
    /// `regular`, or `exec.cachemount` for a folder of `RUN --mount=type=cache`.
    pub kind: String,
}

/// A layer, as records keep it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRef {
    /// Name in the snapshotter.
    pub chain_id: Digest,
    /// Digest of the archive.
    pub diff_id: Digest,
    /// Bytes of the files.
    pub bytes: u64,
}

impl LayerRef {
    pub(crate) fn of(layer: &OwnLayer) -> Self {
        Self { chain_id: layer.chain_id.clone(), diff_id: layer.diff_id.clone(), bytes: layer.bytes }
    }
}

/// What a step reads, named: `file src/main.rs`, `env PATH`, `command`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Key {
    parts: Vec<(String, String)>,
}

impl Key {
    /// Adds a part by its text.
    pub fn text(&mut self, name: impl Into<String>, value: &str) {
        self.parts.push((name.into(), checksum::hex(&checksum::of_bytes(value.as_bytes()))));
    }

    /// Adds a part by its checksum.
    pub fn sum(&mut self, name: impl Into<String>, sum: &checksum::Sum) {
        self.parts.push((name.into(), checksum::hex(sum)));
    }

    /// All parts as one.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (name, sum) in &self.parts {
            hash.update((name.len() as u64).to_le_bytes());
            hash.update(name);
            hash.update(sum);
        }
        checksum::hex(&hash.finalize().into())
    }

    pub fn parts(&self) -> &[(String, String)] {
        &self.parts
    }
}

/// All that is remembered. What is in memory is what is in the records.
pub(crate) struct Cache {
    store: Store,
    entries: Mutex<BTreeMap<String, Entry>>,
}

impl Cache {
    pub fn open(store: Store) -> Result<Self> {
        let (good, bad) = store.summaries::<Entry>(TABLE)?;
        for error in bad {
            tracing::warn!(error = &error as &dyn std::error::Error, "a step of the build cache is left out");
        }
        Ok(Self { store, entries: Mutex::new(good.into_iter().collect()) })
    }

    /// The entry of a key, noted as used.
    pub fn take(&self, key: &str) -> Option<Entry> {
        let mut entries = self.lock();
        let entry = entries.get_mut(key)?;
        entry.uses += 1;
        entry.last_used = Timestamp::now();
        Some(entry.clone())
    }

    /// Remembers a step and what it read.
    pub fn put(&self, entry: Entry, key: &Key) -> Result<()> {
        let parts = &key.parts()[..key.parts().len().min(PARTS_MAX)];
        self.store.put(TABLE, &entry.key, &entry, &parts, Durability::Crash)?;
        self.lock().insert(entry.key.clone(), entry);
        Ok(())
    }

    /// Writes down how often entries were used.
    pub fn note_uses(&self, keys: &[String]) {
        for key in keys {
            let Some(entry) = self.lock().get(key).cloned() else { continue };
            let parts = self.parts(key);
            if let Err(error) = self.store.put(TABLE, key, &entry, &parts, Durability::Crash) {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot note the use of a cached step");
            }
        }
    }

    /// What the step read.
    pub fn parts(&self, key: &str) -> Vec<(String, String)> {
        self.store.get(TABLE, key).ok().flatten().unwrap_or_default()
    }

    /// The newest entry that stood at a place.
    pub fn newest_at(&self, slot: &str) -> Option<Entry> {
        self.lock().values().filter(|entry| entry.slot == slot).max_by_key(|entry| entry.last_used).cloned()
    }

    /// Forgets one; its layer goes with the next collection.
    pub fn remove(&self, key: &str) -> Result<()> {
        self.store.delete(TABLE, key, Durability::Crash)?;
        self.lock().remove(key);
        Ok(())
    }

    pub fn all(&self) -> Vec<Entry> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl berth_image::Keeper for Cache {
    fn layers(&self) -> Vec<Digest> {
        let mut needed = std::collections::BTreeSet::new();
        for entry in self.lock().values() {
            needed.extend(entry.layer.as_ref().map(|layer| layer.chain_id.clone()));
        }
        needed.into_iter().collect()
    }

    fn blobs(&self) -> Vec<Digest> {
        Vec::new()
    }

    fn oldest_use(&self) -> Option<Timestamp> {
        self.lock().values().filter(|entry| entry.layer.is_some()).map(|entry| entry.last_used).min()
    }

    fn forget_oldest(&self) -> bool {
        let oldest = {
            let entries = self.lock();
            let layers = entries.values().filter(|entry| entry.layer.is_some());
            layers.min_by_key(|entry| entry.last_used).map(|entry| entry.key.clone())
        };
        let Some(key) = oldest else { return false };
        match self.remove(&key) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot forget a step of the build cache");
                false
            }
        }
    }
}
