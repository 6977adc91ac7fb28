//! The one connection and its statements.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
};

use berth_kit::crash;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Error, Result};

const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS record (
    kind TEXT NOT NULL, id TEXT NOT NULL, summary TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (kind, id)) WITHOUT ROWID;";

/// Readable summaries by id, and what was wrong with the others.
pub type Summaries<S> = (Vec<(String, S)>, Vec<Error>);

/// How long a write must last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On stable storage before the call returns.
    Power,
    /// In the kernel's hands before the call returns.
    Crash,
}

/// A handle to the record store; clones share one connection.
#[derive(Debug, Clone)]
pub struct Store {
    connection: Arc<Mutex<Connection>>,
}

impl Store {
    /// Opens or creates the database file at `path`.
    ///
    /// # Errors
    /// [`Error::Open`] when the file cannot be used.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |source| Error::Open { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(failed)?;
        connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(failed)?;
        connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed)?;
        connection.pragma_update(None, "cache_size", -512).map_err(failed)?;
        connection.execute_batch(SCHEMA).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(16);
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while the lock is held leaves no half-made SQL state: SQLite rolls back by itself.
        self.connection.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Writes a record, replacing one of the same kind and id.
    ///
    /// # Errors
    /// [`Error::Form`] when it cannot be serialised, [`Error::Access`] when it cannot be written.
    pub fn put(
        &self,
        kind: &str,
        id: &str,
        summary: &impl Serialize,
        body: &impl Serialize,
        durability: Durability,
    ) -> Result<()> {
        let form = |source| Error::Form { kind: kind.to_owned(), id: id.to_owned(), source };
        let summary = serde_json::to_string(summary).map_err(form)?;
        let body = serde_json::to_string(body).map_err(form)?;
        let connection = self.lock();
        with_durability(&connection, durability, || {
            connection
                .prepare_cached("INSERT OR REPLACE INTO record (kind, id, summary, body) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![kind, id, summary, body])
        })
        .map_err(|source| access("write", kind, id, source))?;
        Ok(())
    }

    /// Reads a record's body.
    ///
    /// # Errors
    /// [`Error::Access`] when it cannot be read, [`Error::Form`] when it is not a `B`.
    pub fn get<B: DeserializeOwned>(&self, kind: &str, id: &str) -> Result<Option<B>> {
        let body: Option<String> = self
            .lock()
            .prepare_cached("SELECT body FROM record WHERE kind = ?1 AND id = ?2")
            .and_then(|mut statement| statement.query_row(params![kind, id], |row| row.get(0)).optional())
            .map_err(|source| access("read", kind, id, source))?;
        body.map(|body| parse(kind, id, &body)).transpose()
    }

    /// Reads all summaries of a kind in order of id; one that is not an `S` is left out and reported in the second list.
    ///
    /// # Errors
    /// [`Error::Access`] when the database cannot be read.
    pub fn summaries<S: DeserializeOwned>(&self, kind: &str) -> Result<Summaries<S>> {
        let failed = |source| access("read", kind, "*", source);
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT id, summary FROM record WHERE kind = ?1 ORDER BY id").map_err(failed)?;
        let mut rows = statement.query(params![kind]).map_err(failed)?;
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next().map_err(failed)? {
            let id: String = row.get(0).map_err(failed)?;
            let summary = row.get_ref(1).and_then(|value| Ok(value.as_str()?)).map_err(failed)?;
            match parse(kind, &id, summary) {
                Ok(summary) => good.push((id, summary)),
                Err(error) => bad.push(error),
            }
        }
        Ok((good, bad))
    }

    /// Deletes a record; an absent one is no error.
    ///
    /// # Errors
    /// [`Error::Access`] when it cannot be deleted.
    pub fn delete(&self, kind: &str, id: &str, durability: Durability) -> Result<()> {
        let connection = self.lock();
        with_durability(&connection, durability, || {
            connection.prepare_cached("DELETE FROM record WHERE kind = ?1 AND id = ?2")?.execute(params![kind, id])
        })
        .map_err(|source| access("delete", kind, id, source))?;
        Ok(())
    }
}

fn access(act: &'static str, kind: &str, id: &str, source: rusqlite::Error) -> Error {
    let (kind, id) = (kind.to_owned(), id.to_owned());
    match source {
        rusqlite::Error::SqliteFailure(failure, _) if failure.code == rusqlite::ErrorCode::DiskFull => {
            Error::Full { act, kind, id }
        }
        source => Error::Access { act, kind, id, source },
    }
}

fn parse<T: DeserializeOwned>(kind: &str, id: &str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|source| Error::Form { kind: kind.to_owned(), id: id.to_owned(), source })
}

/// In WAL mode `synchronous=FULL` syncs the log at each commit, `NORMAL` only at checkpoints
/// (SQLite documentation, PRAGMA synchronous).
fn with_durability<T>(
    connection: &Connection,
    durability: Durability,
    act: impl FnOnce() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    crash::before_write();
    let outcome = match durability {
        Durability::Crash => act(),
        Durability::Power => {
            connection.pragma_update(None, "synchronous", "FULL")?;
            let outcome = act();
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            outcome
        }
    };
    crash::after_write();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("berth.db")).unwrap();
        (dir, store)
    }

    #[test]
    fn records_are_written_replaced_read_and_deleted() {
        let (_dir, store) = store();
        store.put("a", "1", &"s", &1, Durability::Crash).unwrap();
        store.put("a", "1", &"t", &2, Durability::Power).unwrap();
        store.put("b", "1", &"u", &3, Durability::Crash).unwrap();
        assert_eq!(store.get::<i32>("a", "1").unwrap(), Some(2));
        assert_eq!(store.summaries::<String>("a").unwrap().0, [("1".to_owned(), "t".to_owned())]);
        store.delete("a", "1", Durability::Crash).unwrap();
        store.delete("a", "1", Durability::Crash).unwrap();
        assert_eq!(store.get::<i32>("a", "1").unwrap(), None);
        assert_eq!(store.get::<i32>("b", "1").unwrap(), Some(3));
    }

    #[test]
    fn one_spoiled_summary_does_not_hide_the_others() {
        let (_dir, store) = store();
        store.put("a", "1", &"text", &0, Durability::Crash).unwrap();
        store.put("a", "2", &7, &0, Durability::Crash).unwrap();
        let (good, bad) = store.summaries::<i32>("a").unwrap();
        assert_eq!(good, [("2".to_owned(), 7)]);
        assert!(bad[0].to_string().contains("a/1"));
    }

    #[test]
    fn a_second_handle_sees_what_the_first_wrote() {
        let (dir, store) = store();
        store.put("a", "1", &"s", &1, Durability::Crash).unwrap();
        let again = Store::open(&dir.path().join("berth.db")).unwrap();
        assert_eq!(again.get::<i32>("a", "1").unwrap(), Some(1));
    }
}
