//! Tables of the ledger.

use rusqlite::Connection;

/// Grows by one with each change of the tables.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE repository(
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL);
CREATE TABLE blob(
    digest TEXT PRIMARY KEY, size INTEGER NOT NULL, stored INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE link(
    repository INTEGER NOT NULL REFERENCES repository(id) ON DELETE CASCADE,
    digest TEXT NOT NULL, touched INTEGER NOT NULL,
    PRIMARY KEY(repository, digest)) WITHOUT ROWID;
CREATE INDEX link_digest ON link(digest);
CREATE TABLE document(
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, bytes BLOB NOT NULL);
CREATE TABLE manifest(
    repository INTEGER NOT NULL REFERENCES repository(id) ON DELETE CASCADE,
    digest TEXT NOT NULL, document INTEGER NOT NULL REFERENCES document(id),
    media_type TEXT NOT NULL, size INTEGER NOT NULL,
    subject TEXT, artifact_type TEXT, annotations TEXT NOT NULL, pushed INTEGER NOT NULL,
    PRIMARY KEY(repository, digest)) WITHOUT ROWID;
CREATE INDEX manifest_subject ON manifest(repository, subject, digest) WHERE subject IS NOT NULL;
CREATE INDEX manifest_document ON manifest(document);
CREATE TABLE edge(
    repository INTEGER NOT NULL, parent TEXT NOT NULL, child TEXT NOT NULL, size INTEGER,
    PRIMARY KEY(repository, parent, child),
    FOREIGN KEY(repository, parent) REFERENCES manifest(repository, digest) ON DELETE CASCADE) WITHOUT ROWID;
CREATE INDEX edge_child ON edge(repository, child);
CREATE TABLE tag(
    repository INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, updated INTEGER NOT NULL,
    PRIMARY KEY(repository, name),
    FOREIGN KEY(repository, digest) REFERENCES manifest(repository, digest) ON DELETE CASCADE) WITHOUT ROWID;
CREATE INDEX tag_digest ON tag(repository, digest);
CREATE TABLE mirrored(
    repository INTEGER NOT NULL REFERENCES repository(id) ON DELETE CASCADE,
    tag TEXT NOT NULL, checked INTEGER NOT NULL,
    PRIMARY KEY(repository, tag)) WITHOUT ROWID;
CREATE TABLE account(
    name TEXT PRIMARY KEY, kind TEXT NOT NULL, secret TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE role(
    account TEXT NOT NULL, pattern TEXT NOT NULL, actions TEXT NOT NULL,
    PRIMARY KEY(account, pattern)) WITHOUT ROWID;
";

/// Makes the tables in an empty file; refuses a file of another version.
pub fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        VERSION => connection.execute_batch("COMMIT"),
        0 => connection.execute_batch(&format!("{TABLES} PRAGMA user_version = {VERSION}; COMMIT")),
        other => {
            connection.execute_batch("ROLLBACK")?;
            let text = format!("it is of version {other}, and this program reads version {VERSION}");
            Err(rusqlite::Error::ToSqlConversionFailure(text.into()))
        }
    }
}
