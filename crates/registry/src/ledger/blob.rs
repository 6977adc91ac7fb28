//! Blobs and the links through which repositories see them.

use rusqlite::{Connection, OptionalExtension, params};

use super::now;
use crate::digest::Digest;

/// The id of a repository.
///
/// # Errors
/// SQLite's.
pub fn repository(connection: &Connection, name: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM repository WHERE name = ?1")?
        .query_row([name], |row| row.get(0))
        .optional()
}

/// The id of a repository, which is made when it is not there.
///
/// # Errors
/// SQLite's.
pub fn repository_or_new(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    if let Some(id) = repository(connection, name)? {
        return Ok(id);
    }
    connection.prepare_cached("INSERT INTO repository(name, created) VALUES (?1, ?2)")?.insert(params![name, now()])
}

/// How many repositories there are.
///
/// # Errors
/// SQLite's.
pub fn repositories(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT count(*) FROM repository")?.query_row([], |row| row.get(0))
}

/// A blob as a repository sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// In bytes.
    pub size: u64,
    /// When somebody last said to need it, in seconds since 1970.
    pub touched: i64,
}

/// The blob `digest` in the repository `name`, if it is linked there.
///
/// # Errors
/// SQLite's.
pub fn link(connection: &Connection, name: &str, digest: &Digest) -> rusqlite::Result<Option<Link>> {
    connection
        .prepare_cached(
            "SELECT blob.size, link.touched FROM repository
             JOIN link ON link.repository = repository.id AND link.digest = ?2
             JOIN blob ON blob.digest = link.digest WHERE repository.name = ?1",
        )?
        .query_row([name, digest.as_str()], |row| Ok(Link { size: row.get(0)?, touched: row.get(1)? }))
        .optional()
}

/// Notes a blob that is in the store, and links it.
///
/// # Errors
/// SQLite's.
pub fn add(connection: &Connection, name: &str, digest: &Digest, size: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO blob(digest, size, stored) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![digest.as_str(), size, now()])?;
    let repository = repository_or_new(connection, name)?;
    connection
        .prepare_cached(
            "INSERT INTO link(repository, digest, touched) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET touched = excluded.touched",
        )?
        .execute(params![repository, digest.as_str(), now()])
        .map(drop)
}

/// Links a blob that is in the store into another repository; `false` when it is not in the store.
///
/// # Errors
/// SQLite's.
pub fn mount(connection: &Connection, name: &str, digest: &Digest) -> rusqlite::Result<bool> {
    match size(connection, digest)? {
        Some(size) => add(connection, name, digest, size).map(|()| true),
        None => Ok(false),
    }
}

/// Size of a blob of the store, in bytes.
///
/// # Errors
/// SQLite's.
pub fn size(connection: &Connection, digest: &Digest) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT size FROM blob WHERE digest = ?1")?
        .query_row([digest.as_str()], |row| row.get(0))
        .optional()
}

/// Renews the lease of a link: somebody counts on it. `false` when it is gone.
///
/// # Errors
/// SQLite's.
pub fn touch(connection: &Connection, name: &str, digest: &Digest) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "UPDATE link SET touched = ?3 WHERE digest = ?2
             AND repository = (SELECT id FROM repository WHERE name = ?1)",
        )?
        .execute(params![name, digest.as_str(), now()])
        .map(|count| count > 0)
}

/// Takes a blob from a repository; `false` when it is not there.
///
/// # Errors
/// SQLite's.
pub fn unlink(connection: &Connection, name: &str, digest: &Digest) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "DELETE FROM link WHERE digest = ?2 AND repository = (SELECT id FROM repository WHERE name = ?1)",
        )?
        .execute([name, digest.as_str()])
        .map(|count| count > 0)
}

/// The repositories that have the blob, at most `limit`.
///
/// # Errors
/// SQLite's.
pub fn holders(connection: &Connection, digest: &Digest, limit: usize) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached(
            "SELECT repository.name FROM link JOIN repository ON repository.id = link.repository
             WHERE link.digest = ?1 LIMIT ?2",
        )?
        .query_map(params![digest.as_str(), limit], |row| row.get(0))?
        .collect()
}
