//! What nobody needs any more. Each function is one short transaction, so pushes go on between them.
//!
//! A link without a manifest that refers to it is a lease: it holds for a grace period since it was made, mounted, or
//! asked for by `HEAD`, which is how a client finds out what it need not push. A manifest is only taken while the blobs
//! it names are linked, in the same thread that removes links, so there is no moment between the look and the act.

use rusqlite::{Connection, params};

use crate::digest::Digest;

/// Removes links that no manifest of their repository needs and whose lease ended before `before`; gives how many.
///
/// # Errors
/// SQLite's.
pub fn links(connection: &Connection, before: i64, limit: usize) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM link WHERE (repository, digest) IN (
                 SELECT repository, digest FROM link WHERE touched < ?1 AND NOT EXISTS (
                     SELECT 1 FROM edge WHERE edge.repository = link.repository AND edge.child = link.digest)
                 LIMIT ?2)",
        )?
        .execute(params![before, limit])
}

/// Removes manifests that have no tag, are in no index and refer to no subject that is here, and were pushed before
/// `before`; gives how many. An index that goes lets its children go in the next round.
///
/// # Errors
/// SQLite's.
pub fn untagged(connection: &Connection, before: i64, limit: usize) -> rusqlite::Result<usize> {
    let count = connection
        .prepare_cached(
            "DELETE FROM manifest WHERE (repository, digest) IN (
                 SELECT repository, digest FROM manifest AS m WHERE pushed < ?1
                 AND NOT EXISTS (SELECT 1 FROM tag WHERE tag.repository = m.repository AND tag.digest = m.digest)
                 AND NOT EXISTS (SELECT 1 FROM edge WHERE edge.repository = m.repository AND edge.child = m.digest)
                 AND NOT EXISTS (SELECT 1 FROM manifest AS s WHERE s.repository = m.repository AND s.digest = m.subject)
                 LIMIT ?2)",
        )?
        .execute(params![before, limit])?;
    documents(connection)?;
    Ok(count)
}

/// Removes bytes of manifests that no repository has.
///
/// # Errors
/// SQLite's.
pub fn documents(connection: &Connection) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM document WHERE NOT EXISTS (SELECT 1 FROM manifest WHERE manifest.document = document.id)",
        )?
        .execute([])
}

/// Blobs that no repository has, at most `limit`, after `last`.
///
/// # Errors
/// SQLite's.
pub fn orphans(connection: &Connection, last: &str, limit: usize) -> rusqlite::Result<Vec<Digest>> {
    let mut select = connection.prepare_cached(
        "SELECT digest FROM blob WHERE digest > ?1
         AND NOT EXISTS (SELECT 1 FROM link WHERE link.digest = blob.digest) ORDER BY digest LIMIT ?2",
    )?;
    let texts: Vec<String> = select.query_map(params![last, limit], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(texts.iter().filter_map(|text| Digest::parse(text).ok()).collect())
}

/// Forgets a blob unless a repository has it; gives its size when it was forgotten.
///
/// # Errors
/// SQLite's.
pub fn forget(connection: &Connection, digest: &Digest) -> rusqlite::Result<Option<u64>> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM blob WHERE digest = ?1
         AND NOT EXISTS (SELECT 1 FROM link WHERE link.digest = blob.digest) RETURNING size",
    )?;
    let mut rows = delete.query_map([digest.as_str()], |row| row.get(0))?;
    rows.next().transpose()
}

/// Forgets a blob that was found broken, with all links to it.
///
/// # Errors
/// SQLite's.
pub fn forget_broken(connection: &Connection, digest: &Digest) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM link WHERE digest = ?1")?.execute([digest.as_str()])?;
    connection.prepare_cached("DELETE FROM blob WHERE digest = ?1")?.execute([digest.as_str()]).map(drop)
}

/// Removes repositories that have nothing left and were made before `before`; gives how many.
///
/// # Errors
/// SQLite's.
pub fn repositories(connection: &Connection, before: i64) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM repository WHERE created < ?1
             AND NOT EXISTS (SELECT 1 FROM link WHERE link.repository = repository.id)
             AND NOT EXISTS (SELECT 1 FROM manifest WHERE manifest.repository = repository.id)",
        )?
        .execute([before])
}

/// A page of all blobs with their sizes, after `last`.
///
/// # Errors
/// SQLite's.
pub fn blobs(connection: &Connection, last: &str, limit: usize) -> rusqlite::Result<Vec<(Digest, u64)>> {
    let mut select =
        connection.prepare_cached("SELECT digest, size FROM blob WHERE digest > ?1 ORDER BY digest LIMIT ?2")?;
    let rows: Vec<(String, u64)> =
        select.query_map(params![last, limit], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    Ok(rows.into_iter().filter_map(|(text, size)| Some((Digest::parse(&text).ok()?, size))).collect())
}

/// A page of the bytes of all manifests, after `last`.
///
/// # Errors
/// SQLite's.
pub fn bodies(connection: &Connection, last: &str, limit: usize) -> rusqlite::Result<Vec<(String, Vec<u8>)>> {
    connection
        .prepare_cached("SELECT digest, bytes FROM document WHERE digest > ?1 ORDER BY digest LIMIT ?2")?
        .query_map(params![last, limit], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// Forgets a manifest whose bytes were found broken, in all repositories.
///
/// # Errors
/// SQLite's.
pub fn forget_document(connection: &Connection, digest: &str) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM manifest WHERE digest = ?1", [digest])?;
    connection.execute("DELETE FROM document WHERE digest = ?1", [digest]).map(drop)
}
