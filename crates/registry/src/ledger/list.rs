//! Pages of names, and sums.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::blob;

/// A page of the names of repositories after `last`, in byte order.
///
/// # Errors
/// SQLite's.
pub fn repositories(connection: &Connection, last: &str, limit: usize) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare_cached("SELECT name FROM repository WHERE name > ?1 ORDER BY name LIMIT ?2")?
        .query_map(params![last, limit], |row| row.get(0))?
        .collect()
}

/// A page of a repository's tags after `last`, in byte order; `None` when there is no such repository.
///
/// # Errors
/// SQLite's.
pub fn tags(connection: &Connection, name: &str, last: &str, limit: usize) -> rusqlite::Result<Option<Vec<String>>> {
    let Some(repository) = blob::repository(connection, name)? else { return Ok(None) };
    connection
        .prepare_cached("SELECT name FROM tag WHERE repository = ?1 AND name > ?2 ORDER BY name LIMIT ?3")?
        .query_map(params![repository, last, limit], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()
        .map(Some)
}

/// A line of `ls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Repository.
    pub name: String,
    /// How many tags.
    pub tags: u64,
    /// How many manifests.
    pub manifests: u64,
    /// Bytes of the blobs that it sees; shared ones count in each.
    pub bytes: u64,
}

/// All repositories with their sums.
///
/// # Errors
/// SQLite's.
pub fn lines(connection: &Connection) -> rusqlite::Result<Vec<Line>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(Line { name: row.get(0)?, tags: row.get(1)?, manifests: row.get(2)?, bytes: row.get(3)? })
    };
    connection
        .prepare(
            "SELECT name, (SELECT count(*) FROM tag WHERE repository = repository.id),
                 (SELECT count(*) FROM manifest WHERE repository = repository.id),
                 (SELECT coalesce(sum(blob.size), 0) FROM link JOIN blob ON blob.digest = link.digest
                  WHERE link.repository = repository.id)
             FROM repository ORDER BY name",
        )?
        .query_map([], read)?
        .collect()
}

/// A tag of `ls REPOSITORY`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagLine {
    /// Its name.
    pub tag: String,
    /// What it points at.
    pub digest: String,
    /// Of the manifest.
    pub media_type: String,
    /// When it was last set, in seconds since 1970.
    pub updated: i64,
}

/// All tags of a repository.
///
/// # Errors
/// SQLite's.
pub fn tag_lines(connection: &Connection, name: &str) -> rusqlite::Result<Vec<TagLine>> {
    let read = |row: &rusqlite::Row<'_>| {
        Ok(TagLine { tag: row.get(0)?, digest: row.get(1)?, media_type: row.get(2)?, updated: row.get(3)? })
    };
    connection
        .prepare(
            "SELECT tag.name, tag.digest, manifest.media_type, tag.updated FROM repository
             JOIN tag ON tag.repository = repository.id
             JOIN manifest ON manifest.repository = repository.id AND manifest.digest = tag.digest
             WHERE repository.name = ?1 ORDER BY tag.name",
        )?
        .query_map([name], read)?
        .collect()
}

/// What a registry holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Repositories.
    pub repositories: u64,
    /// Tags.
    pub tags: u64,
    /// Manifests, once for each repository.
    pub manifests: u64,
    /// Blobs in the store.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// What they would be if each repository kept its own.
    pub linked_bytes: u64,
}

/// Counts everything.
///
/// # Errors
/// SQLite's.
pub fn sums(connection: &Connection) -> rusqlite::Result<Sums> {
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0));
    Ok(Sums {
        repositories: count("SELECT count(*) FROM repository")?,
        tags: count("SELECT count(*) FROM tag")?,
        manifests: count("SELECT count(*) FROM manifest")?,
        blobs: count("SELECT count(*) FROM blob")?,
        blob_bytes: count("SELECT coalesce(sum(size), 0) FROM blob")?,
        linked_bytes: count("SELECT coalesce(sum(size), 0) FROM link JOIN blob ON blob.digest = link.digest")?,
    })
}
