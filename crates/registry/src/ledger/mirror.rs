//! What a mirror remembers of its upstreams: when a tag was last compared, and when a blob was last used.

use rusqlite::{Connection, OptionalExtension, params};

use super::{blob, now};
use crate::digest::Digest;

/// When a tag was last compared with the upstream's, in seconds since 1970.
///
/// # Errors
/// SQLite's.
pub fn checked(connection: &Connection, name: &str, tag: &str) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT checked FROM mirrored WHERE tag = ?2 AND repository = (SELECT id FROM repository WHERE name = ?1)",
        )?
        .query_row([name, tag], |row| row.get(0))
        .optional()
}

/// Notes that a tag was compared just now.
///
/// # Errors
/// SQLite's.
pub fn set_checked(connection: &Connection, name: &str, tag: &str) -> rusqlite::Result<()> {
    let repository = blob::repository_or_new(connection, name)?;
    connection
        .prepare_cached(
            "INSERT INTO mirrored(repository, tag, checked) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET checked = excluded.checked",
        )?
        .execute(params![repository, tag, now()])
        .map(drop)
}

/// The size in bytes of a blob that a manifest of the repository names.
///
/// # Errors
/// SQLite's.
pub fn named(connection: &Connection, name: &str, digest: &Digest) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached(
            "SELECT edge.size FROM repository JOIN edge ON edge.repository = repository.id AND edge.child = ?2
             WHERE repository.name = ?1 AND edge.size IS NOT NULL LIMIT 1",
        )?
        .query_row([name, digest.as_str()], |row| row.get(0))
        .optional()
}

/// A blob of a mirrored repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used {
    /// Repository.
    pub name: String,
    /// The blob.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

/// Blobs linked in repositories whose tags are mirrored, least recently used first, and the sum of the sizes of all.
///
/// # Errors
/// SQLite's.
pub fn used(connection: &Connection, limit: usize) -> rusqlite::Result<(Vec<Used>, u64)> {
    const MIRRORED: &str = "FROM link JOIN blob ON blob.digest = link.digest
        JOIN repository ON repository.id = link.repository
        WHERE repository.id IN (SELECT repository FROM mirrored)";
    let sum = connection
        .prepare_cached(&format!(
            "SELECT coalesce(sum(size), 0) FROM (SELECT DISTINCT blob.digest, blob.size AS size {MIRRORED})"
        ))?
        .query_row([], |row| row.get(0))?;
    let mut select = connection.prepare_cached(&format!(
        "SELECT repository.name, blob.digest, blob.size {MIRRORED} ORDER BY link.touched, blob.digest LIMIT ?1"
    ))?;
    let rows: Vec<(String, String, u64)> =
        select.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_, _>>()?;
    let used = rows
        .into_iter()
        .filter_map(|(name, text, size)| Some(Used { name, digest: Digest::parse(&text).ok()?, size }))
        .collect();
    Ok((used, sum))
}
