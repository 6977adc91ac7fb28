//! What the cache holds, and how it is made smaller: `builder prune`, `system df`, and by itself.

use std::path::Path;

use berth_kit::time::Timestamp;

use crate::{Entry, Error, Result, builder::Shared, cache::Key};

/// What of the cache goes.
#[derive(Debug, Clone, Default)]
pub struct PruneRequest {
    /// Also what an image still has; else only what nothing else has.
    pub all: bool,
    /// Kept, in bytes: the newest.
    pub keep_bytes: u64,
    /// Only what was not used since.
    pub unused_since: Option<Timestamp>,
    /// `id`, `type`, `description`, `inuse`, `shared`, `private`, each with what it must be.
    pub filters: Vec<(String, String)>,
}

/// What went.
#[derive(Debug, Clone, Default)]
pub struct PruneReport {
    /// The entries.
    pub removed: Vec<Entry>,
    /// Bytes freed.
    pub bytes: u64,
}

/// Kind of the entries for folders of `RUN --mount=type=cache`.
const FOLDER: &str = "exec.cachemount";
/// Kind of the entries for downloads.
pub(crate) const WEB: &str = "source.http";
/// Kind of the entries for checkouts.
pub(crate) const GIT: &str = "source.git.checkout";

impl Shared {
    /// Notes that a folder of `RUN --mount=type=cache` is there and used.
    pub(crate) fn note_cache_folder(&self, id: &str, path: &Path) -> Result<()> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        self.note_folder(&name, &format!("cache mount {id}"), FOLDER)
    }

    /// Notes that a folder of the builder's is there and used.
    pub(crate) fn note_folder(&self, name: &str, text: &str, kind: &str) -> Result<()> {
        let now = Timestamp::now();
        if self.cache.take(name).is_some() {
            self.cache.note_uses(&[name.to_owned()]);
            return Ok(());
        }
        let entry = Entry {
            key: name.to_owned(),
            slot: String::new(),
            text: text.to_owned(),
            parent: None,
            layer: None,
            created: now,
            last_used: now,
            uses: 0,
            kind: kind.to_owned(),
        };
        self.cache.put(entry, &Key::default())
    }

    /// Bytes of an entry.
    pub(crate) fn bytes_of(&self, entry: &Entry) -> u64 {
        match (&entry.layer, entry.kind.as_str()) {
            (Some(layer), _) => layer.bytes,
            (None, FOLDER) => folder_bytes(&self.folders.root().join(&entry.key)),
            (None, WEB | GIT) => folder_bytes(&self.remotes.root().join(&entry.key)),
            (None, _) => 0,
        }
    }

    /// Removes what the request allows, the longest unused first. Blocks.
    pub(crate) fn prune(&self, request: &PruneRequest) -> Result<PruneReport> {
        let mut all = self.cache.all();
        all.sort_by_key(|entry| entry.last_used);
        let mut total: u64 = all.iter().map(|entry| self.bytes_of(entry)).sum();
        let mut report = PruneReport::default();
        for entry in all {
            if total <= request.keep_bytes && request.keep_bytes > 0 {
                break;
            }
            if !self.may_go(request, &entry) {
                continue;
            }
            let bytes = self.bytes_of(&entry);
            if entry.kind == FOLDER {
                let path = self.folders.root().join(&entry.key);
                match std::fs::remove_dir_all(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::file("remove", path)(error));
                    }
                    _ => {}
                }
            }
            if crate::fetch::KINDS.contains(&entry.kind.as_str()) && !self.remotes.remove(&entry.key)? {
                continue;
            }
            self.cache.remove(&entry.key)?;
            total = total.saturating_sub(bytes);
            report.bytes += bytes;
            report.removed.push(entry);
        }
        Ok(report)
    }

    fn may_go(&self, request: &PruneRequest, entry: &Entry) -> bool {
        if request.unused_since.is_some_and(|point| entry.last_used > point) {
            return false;
        }
        request.filters.iter().all(|(name, wanted)| {
            let is = |value: bool| value == matches!(wanted.as_str(), "" | "1" | "true");
            match name.as_str() {
                "id" => entry.key.starts_with(wanted.as_str()),
                "type" => entry.kind == *wanted,
                "description" => entry.text.contains(wanted.as_str()),
                "parents" => entry.parent.as_ref() == Some(wanted),
                "inuse" => is(false),
                "shared" => is(false),
                "private" => is(true),
                _ => false,
            }
        })
    }
}

/// Names of filters of `builder prune`.
pub(crate) const FILTERS: &[&str] = &["id", "type", "description", "parents", "inuse", "shared", "private"];

fn folder_bytes(path: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(path) else { return 0 };
    let bytes = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(bytes).sum()
}
