//! The ledger: which repository has which blobs, manifests and tags, and who may do what. One SQLite file.
//!
//! One thread writes. What is asked for while a transaction is being synced to disk goes into the next one together,
//! so 64 clients that push at once share their syncs. An answer is given after the sync. Readers never wait.
//!
//! ```text
//! repository ─┬─ link ──► blob          a blob can be read through a link only
//!             ├─ manifest ──► document  the bytes are stored once
//!             │    └─ edge              what a manifest keeps alive
//!             └─ tag
//! account ── role                       who may do what where
//! ```

pub mod account;
pub mod blob;
pub mod list;
pub mod manifest;
pub mod mirror;
mod schema;
pub mod sweep;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::oneshot;

use crate::{Error, Result};

/// Jobs of one transaction at most.
const BATCH_MAX: usize = 256;
/// Readers that are kept.
const READERS_KEPT: usize = 16;
/// Another process of the command line may be writing.
const BUSY_PATIENCE: Duration = Duration::from_secs(30);
/// Prepared statements kept for each connection.
const STATEMENTS_KEPT: usize = 128;

type Settled = Box<dyn FnOnce(std::result::Result<(), rusqlite::Error>) + Send>;
type Job = Box<dyn FnOnce(&Connection) -> Settled + Send>;

/// A handle to the ledger; clones share it.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    jobs: mpsc::Sender<Job>,
    readers: Mutex<Vec<Connection>>,
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(passed.as_secs()).unwrap_or(i64::MAX)
}

fn failed(act: &'static str) -> impl FnOnce(rusqlite::Error) -> Error {
    move |source| Error::Ledger { act, source }
}

impl Ledger {
    /// Opens or creates the ledger in the file `path`.
    ///
    /// # Errors
    /// [`Error::Ledger`] when it cannot be opened or brought to this version's form.
    pub fn open(path: &Path) -> Result<Self> {
        let act = "open the ledger";
        let connection = Connection::open(path).map_err(failed(act))?;
        prepare(&connection).and_then(|()| schema::create(&connection)).map_err(failed(act))?;
        let (jobs, queue) = mpsc::channel();
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || run(connection, &queue))
            .map_err(Error::file("start a thread for", path))?;
        Ok(Self { shared: Arc::new(Shared { path: path.to_owned(), jobs, readers: Mutex::default() }) })
    }

    /// Reads; `work` takes microseconds, so it runs where it is called.
    ///
    /// # Errors
    /// [`Error::Ledger`].
    pub fn read<T>(&self, act: &'static str, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let kept = self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match kept {
            Some(connection) => connection,
            None => self.reader().map_err(failed(act))?,
        };
        let outcome = work(&connection).map_err(failed(act));
        let mut readers = self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS_KEPT {
            readers.push(connection);
        }
        outcome
    }

    fn reader(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.shared.path, flags)?;
        connection.busy_timeout(BUSY_PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Ok(connection)
    }

    /// Writes; what `work` gives comes back once it is on disk. Its own error undoes it alone.
    ///
    /// # Errors
    /// [`Error::Ledger`], [`Error::Closed`].
    pub async fn write<T: Send + 'static>(
        &self,
        act: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, outcome) = oneshot::channel();
        self.send(act, work, move |result| drop(answer.send(result)))?;
        outcome.await.map_err(|_| Error::Closed { act })?
    }

    /// [`Ledger::write`] for threads.
    ///
    /// # Errors
    /// As there.
    pub fn write_blocking<T: Send + 'static>(
        &self,
        act: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, outcome) = mpsc::channel();
        self.send(act, work, move |result| drop(answer.send(result)))?;
        outcome.recv().map_err(|_| Error::Closed { act })?
    }

    fn send<T: Send + 'static>(
        &self,
        act: &'static str,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        answer: impl FnOnce(Result<T>) + Send + 'static,
    ) -> Result<()> {
        let job: Job = Box::new(move |connection| {
            let outcome = within_savepoint(connection, work);
            Box::new(move |committed| {
                let outcome = outcome.and_then(|value| committed.map(|()| value));
                answer(outcome.map_err(failed(act)));
            })
        });
        self.shared.jobs.send(job).map_err(|_| Error::Closed { act })
    }

    /// A copy of the whole ledger in one file, consistent while others write.
    ///
    /// # Errors
    /// [`Error::Ledger`].
    pub fn copy_to(&self, path: &Path) -> Result<()> {
        let target = path.to_string_lossy().into_owned();
        self.read("copy the ledger", |connection| connection.execute("VACUUM INTO ?1", [target]).map(drop))
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_PATIENCE)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")
}

fn within_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.execute_batch("SAVEPOINT job")?;
    let outcome = work(connection);
    let end = if outcome.is_ok() { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
    connection.execute_batch(end)?;
    outcome
}

fn run(connection: Connection, queue: &mpsc::Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let begun = connection.execute_batch("BEGIN IMMEDIATE");
        let waiting = std::iter::once(first).chain(std::iter::from_fn(|| queue.try_recv().ok()));
        let settled: Vec<Settled> = waiting.take(BATCH_MAX).map(|job| job(&connection)).collect();
        let committed = begun.and_then(|()| connection.execute_batch("COMMIT"));
        if committed.is_err() && !connection.is_autocommit() {
            // Nothing of the batch was acknowledged.
            let _ = connection.execute_batch("ROLLBACK");
        }
        for settle in settled {
            settle(committed.as_ref().map(|_| ()).map_err(same));
        }
    }
}

/// SQLite's errors cannot be cloned; each job of a batch that failed gets its own.
fn same(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, text) => rusqlite::Error::SqliteFailure(*code, text.clone()),
        other => rusqlite::Error::ToSqlConversionFailure(other.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_job_undoes_itself_alone() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&dir.path().join("ledger")).unwrap();
        let insert = |name: &'static str| {
            let ledger = ledger.clone();
            async move {
                ledger
                    .write("test", move |connection| {
                        connection.execute("INSERT INTO repository(name, created) VALUES (?1, 0)", [name])?;
                        if name == "bad" { Err(rusqlite::Error::QueryReturnedNoRows) } else { Ok(()) }
                    })
                    .await
            }
        };
        let (one, bad, two) = tokio::join!(insert("one"), insert("bad"), insert("two"));
        assert!(one.is_ok() && two.is_ok() && bad.is_err());
        let count =
            |sql: &'static str| ledger.read("test", |c| c.query_row(sql, [], |row| row.get::<_, i64>(0))).unwrap();
        assert_eq!(count("SELECT count(*) FROM repository"), 2);
        assert_eq!(count("SELECT count(*) FROM repository WHERE name = 'bad'"), 0);
    }

    #[test]
    fn a_copy_is_a_ledger() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&dir.path().join("ledger")).unwrap();
        ledger
            .write_blocking("test", |c| c.execute("INSERT INTO repository(name, created) VALUES ('a', 0)", []))
            .unwrap();
        ledger.copy_to(&dir.path().join("copy")).unwrap();
        let copy = Ledger::open(&dir.path().join("copy")).unwrap();
        let name: String =
            copy.read("test", |c| c.query_row("SELECT name FROM repository", [], |row| row.get(0))).unwrap();
        assert_eq!(name, "a");
    }
}
