//! Builds that were: what each was asked, how it ended, and all it told.
//!
//! ```text
//! ROOT/<reference>/record     one BuildHistoryRecord
//! ROOT/<reference>/told       StatusResponses, each behind its length
//! ```
//!
//! The oldest go when there are too many, pinned ones last of all.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use prost::Message;
use tokio::sync::broadcast;

use crate::progress::Progress;
use crate::proto::control::{BuildHistoryEvent, BuildHistoryEventType, BuildHistoryRecord, StatusResponse};

/// Builds kept.
const KEPT: usize = 100;
/// Events that a slow listener may be behind.
const BEHIND: usize = 64;

/// The builds of this engine, running and past.
pub struct History {
    root: PathBuf,
    known: Mutex<BTreeMap<String, Known>>,
    events: broadcast::Sender<BuildHistoryEvent>,
}

#[derive(Clone)]
struct Known {
    record: BuildHistoryRecord,
    /// What a running build tells; a past one's is on disk.
    progress: Option<Progress>,
}

impl History {
    /// Reads the builds below `root`. A record that cannot be read is left out and removed.
    ///
    /// # Errors
    /// When `root` cannot be made or read.
    pub fn open(root: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        let mut known = BTreeMap::new();
        for entry in std::fs::read_dir(root)? {
            let path = entry?.path();
            let record = std::fs::read(path.join("record")).ok();
            match record.and_then(|bytes| BuildHistoryRecord::decode(&bytes[..]).ok()) {
                Some(record) => drop(known.insert(record.reference.clone(), Known { record, progress: None })),
                None => std::fs::remove_dir_all(&path)?,
            }
        }
        Ok(Self { root: root.to_owned(), known: Mutex::new(known), events: broadcast::channel(BEHIND).0 })
    }

    /// A build began.
    pub fn begin(&self, record: BuildHistoryRecord, progress: &Progress) {
        let known = Known { record: record.clone(), progress: Some(progress.clone()) };
        self.lock().insert(record.reference.clone(), known);
        self.publish(BuildHistoryEventType::Started, record);
    }

    /// A build ended: its record and what it told go to disk.
    ///
    /// # Errors
    /// When the disk refuses; the build is then known until the daemon ends.
    pub fn end(&self, record: BuildHistoryRecord, progress: &Progress) -> io::Result<()> {
        self.lock()
            .insert(record.reference.clone(), Known { record: record.clone(), progress: Some(progress.clone()) });
        self.publish(BuildHistoryEventType::Complete, record.clone());
        let folder = self.folder(&record.reference)?;
        std::fs::create_dir_all(&folder)?;
        let mut told = Vec::new();
        for message in progress.told() {
            message.encode_length_delimited(&mut told).map_err(io::Error::other)?;
        }
        std::fs::write(folder.join("told"), told)?;
        self.write(&record)?;
        if let Some(known) = self.lock().get_mut(&record.reference) {
            known.progress = None;
        }
        self.forget_oldest()
    }

    /// All records, the newest first.
    #[must_use]
    pub fn records(&self) -> Vec<(BuildHistoryRecord, bool)> {
        let known = self.lock();
        let mut records: Vec<_> =
            known.values().map(|known| (known.record.clone(), is_running(&known.record))).collect();
        let time = |record: &BuildHistoryRecord| record.created_at.map(|at| (at.seconds, at.nanos));
        records.sort_by_key(|(record, _)| std::cmp::Reverse(time(record)));
        records
    }

    /// What a build told, from its beginning; none for a build that is not known.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn told(&self, reference: &str) -> io::Result<Option<Progress>> {
        let Some(known) = self.lock().get(reference).cloned() else { return Ok(None) };
        if let Some(progress) = known.progress {
            return Ok(Some(progress));
        }
        let bytes = std::fs::read(self.folder(reference)?.join("told"))?;
        let mut rest = &bytes[..];
        let progress = Progress::default();
        while !rest.is_empty() {
            progress.tell(StatusResponse::decode_length_delimited(&mut rest).map_err(io::Error::other)?);
        }
        progress.end();
        Ok(Some(progress))
    }

    /// Keeps a build, or no longer.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] for a build that is not known.
    pub fn pin(&self, reference: &str, pinned: bool) -> io::Result<()> {
        let record = {
            let mut known = self.lock();
            let known = known.get_mut(reference).ok_or(io::ErrorKind::NotFound)?;
            known.record.pinned = pinned;
            known.record.clone()
        };
        self.write(&record)
    }

    /// Forgets a build that ended.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] for a build that is not known, [`io::ErrorKind::ResourceBusy`] for one that runs.
    pub fn remove(&self, reference: &str) -> io::Result<()> {
        let record = {
            let mut known = self.lock();
            let record = known.get(reference).ok_or(io::ErrorKind::NotFound)?.record.clone();
            if is_running(&record) {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            known.remove(reference);
            record
        };
        match std::fs::remove_dir_all(self.folder(reference)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.publish(BuildHistoryEventType::Deleted, record);
        Ok(())
    }

    /// What happens from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<BuildHistoryEvent> {
        self.events.subscribe()
    }

    fn write(&self, record: &BuildHistoryRecord) -> io::Result<()> {
        let folder = self.folder(&record.reference)?;
        std::fs::write(folder.join("record.new"), record.encode_to_vec())?;
        std::fs::rename(folder.join("record.new"), folder.join("record"))
    }

    /// A reference is a client's word: only letters, digits and dashes make a folder.
    fn folder(&self, reference: &str) -> io::Result<PathBuf> {
        let clean = reference.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        match clean && !reference.is_empty() && reference.len() <= 128 {
            true => Ok(self.root.join(reference)),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{reference:?} is no build's reference"))),
        }
    }

    fn forget_oldest(&self) -> io::Result<()> {
        let surplus: Vec<String> = {
            let mut ended: Vec<_> = self.lock().values().map(|known| known.record.clone()).collect();
            ended.retain(|record| !is_running(record) && !record.pinned);
            ended.sort_by_key(|record| record.created_at.map(|at| (at.seconds, at.nanos)));
            let surplus = ended.len().saturating_sub(KEPT);
            ended.into_iter().take(surplus).map(|record| record.reference).collect()
        };
        surplus.iter().try_for_each(|reference| self.remove(reference))
    }

    fn publish(&self, kind: BuildHistoryEventType, record: BuildHistoryRecord) {
        // Nobody listening is no failure.
        let _ = self.events.send(BuildHistoryEvent { kind: kind as i32, record: Some(record) });
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").field("root", &self.root).finish_non_exhaustive()
    }
}

/// A shared history.
pub type Shared = Arc<History>;

fn is_running(record: &BuildHistoryRecord) -> bool {
    record.completed_at.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Timestamp;
    use crate::proto::control::VertexLog;

    fn record(reference: &str, at: i64, ended: bool) -> BuildHistoryRecord {
        let time = Timestamp { seconds: at, nanos: 0 };
        BuildHistoryRecord {
            reference: reference.to_owned(),
            created_at: Some(time),
            completed_at: ended.then_some(time),
            ..BuildHistoryRecord::default()
        }
    }

    #[test]
    fn builds_outlive_the_daemon() {
        let root = tempfile::tempdir().expect("a folder");
        let history = History::open(root.path()).expect("it opens");
        let progress = Progress::default();
        history.begin(record("one", 1, false), &progress);
        assert!(history.remove("one").is_err(), "a running build is not forgotten");
        progress.log(VertexLog { msg: b"hello".to_vec(), ..VertexLog::default() });
        progress.end();
        history.end(record("one", 1, true), &progress).expect("it is kept");
        let again = History::open(root.path()).expect("it opens again");
        let told = again.told("one").expect("readable").expect("known").told();
        assert_eq!(told[0].logs[0].msg, b"hello");
        again.pin("one", true).expect("it is known");
        assert!(again.records()[0].0.pinned);
        again.remove("one").expect("it is known");
        assert!(again.remove("one").is_err());
        assert_eq!(std::fs::read_dir(root.path()).expect("readable").count(), 0);
    }

    #[test]
    fn the_oldest_go_and_bad_names_never_come() {
        let root = tempfile::tempdir().expect("a folder");
        let history = History::open(&root.path().join("history")).expect("it opens");
        for at in 0..105 {
            history.end(record(&format!("b{at}"), at, true), &Progress::default()).expect("kept");
        }
        assert_eq!(history.records().len(), KEPT);
        assert_eq!(history.records()[0].0.reference, "b104");
        assert!(history.told("b0").expect("no failure").is_none());
        assert!(history.end(record("../x", 1, true), &Progress::default()).is_err());
        assert!(!root.path().join("x").exists());
    }
}
