//! Manifests, their bytes, their tags, and who refers to them.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{blob, now};
use crate::{
    digest::Digest,
    manifest::{Manifest, Referrer},
};

/// A stored manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Of the bytes.
    pub digest: String,
    /// For `Content-Type`.
    pub media_type: String,
    /// Exactly what was pushed.
    pub bytes: Vec<u8>,
}

/// What is wrong with a manifest that is to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// A blob or manifest that the repository does not have.
    Unknown(String),
    /// A descriptor that says another size than the blob's.
    Size(String),
    /// The repository has as many tags as it may.
    Tags,
    /// There are as many repositories as there may be.
    Repositories,
}

/// A manifest to store.
#[derive(Debug, Clone)]
pub struct Push {
    /// Repository.
    pub name: String,
    /// Of the bytes.
    pub digest: Digest,
    /// As read.
    pub manifest: Manifest,
    /// As pushed.
    pub bytes: Vec<u8>,
    /// To point at it.
    pub tags: Vec<String>,
    /// Most tags in a repository.
    pub tags_max: u64,
    /// Most repositories.
    pub repositories_max: u64,
    /// Its blobs and manifests need not be here: those of a mirror come when somebody asks.
    pub is_sparse: bool,
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored { digest: row.get(0)?, media_type: row.get(1)?, bytes: row.get(2)? })
}

/// The manifest with a digest.
///
/// # Errors
/// SQLite's.
pub fn by_digest(connection: &Connection, name: &str, digest: &Digest) -> rusqlite::Result<Option<Stored>> {
    connection
        .prepare_cached(
            "SELECT manifest.digest, manifest.media_type, document.bytes FROM repository
             JOIN manifest ON manifest.repository = repository.id AND manifest.digest = ?2
             JOIN document ON document.id = manifest.document WHERE repository.name = ?1",
        )?
        .query_row([name, digest.as_str()], stored)
        .optional()
}

/// The manifest that a tag points at.
///
/// # Errors
/// SQLite's.
pub fn by_tag(connection: &Connection, name: &str, tag: &str) -> rusqlite::Result<Option<Stored>> {
    connection
        .prepare_cached(
            "SELECT manifest.digest, manifest.media_type, document.bytes FROM repository
             JOIN tag ON tag.repository = repository.id AND tag.name = ?2
             JOIN manifest ON manifest.repository = repository.id AND manifest.digest = tag.digest
             JOIN document ON document.id = manifest.document WHERE repository.name = ?1",
        )?
        .query_row([name, tag], stored)
        .optional()
}

/// Stores a manifest with its edges and tags, all or nothing.
///
/// # Errors
/// SQLite's; what is wrong with the manifest itself comes as [`Unfit`].
pub fn push(connection: &Connection, push: &Push) -> rusqlite::Result<Result<(), Unfit>> {
    if blob::repository(connection, &push.name)?.is_none() && blob::repositories(connection)? >= push.repositories_max {
        return Ok(Err(Unfit::Repositories));
    }
    if !push.is_sparse
        && let Some(unfit) = missing(connection, push)?
    {
        return Ok(Err(unfit));
    }
    let repository = blob::repository_or_new(connection, &push.name)?;
    if let Some(unfit) = too_many_tags(connection, repository, push)? {
        return Ok(Err(unfit));
    }
    let digest = push.digest.as_str();
    connection
        .prepare_cached("INSERT INTO document(digest, bytes) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute(params![digest, push.bytes])?;
    let annotations = serde_json::to_string(&push.manifest.annotations).unwrap_or_default();
    connection
        .prepare_cached(
            "INSERT INTO manifest(repository, digest, document, media_type, size, subject, artifact_type, annotations, pushed)
             VALUES (?1, ?2, (SELECT id FROM document WHERE digest = ?2), ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET pushed = excluded.pushed, media_type = excluded.media_type",
        )?
        .execute(params![
            repository,
            digest,
            push.manifest.media_type,
            push.bytes.len(),
            push.manifest.subject.as_ref().map(Digest::as_str),
            push.manifest.artifact_type,
            annotations,
            now(),
        ])?;
    edges(connection, repository, push)?;
    for tag in &push.tags {
        set_tag(connection, repository, tag, digest)?;
    }
    Ok(Ok(()))
}

fn edges(connection: &Connection, repository: i64, push: &Push) -> rusqlite::Result<()> {
    let blobs = push.manifest.blobs.iter().map(|(digest, size)| (digest, Some(*size)));
    let children = blobs.chain(push.manifest.manifests.iter().map(|digest| (digest, None)));
    let mut insert = connection.prepare_cached(
        "INSERT INTO edge(repository, parent, child, size) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
    )?;
    for (child, size) in children {
        insert.execute(params![repository, push.digest.as_str(), child.as_str(), size])?;
    }
    Ok(())
}

fn missing(connection: &Connection, push: &Push) -> rusqlite::Result<Option<Unfit>> {
    for (digest, size) in &push.manifest.blobs {
        match blob::link(connection, &push.name, digest)? {
            None => return Ok(Some(Unfit::Unknown(digest.to_string()))),
            Some(link) if link.size != *size => return Ok(Some(Unfit::Size(digest.to_string()))),
            Some(_) => {}
        }
    }
    let mut select = connection.prepare_cached(
        "SELECT 1 FROM repository JOIN manifest ON manifest.repository = repository.id
         WHERE repository.name = ?1 AND manifest.digest = ?2",
    )?;
    for digest in &push.manifest.manifests {
        if !select.exists([&push.name, digest.as_str()])? {
            return Ok(Some(Unfit::Unknown(digest.to_string())));
        }
    }
    Ok(None)
}

fn too_many_tags(connection: &Connection, repository: i64, push: &Push) -> rusqlite::Result<Option<Unfit>> {
    let mut exists = connection.prepare_cached("SELECT 1 FROM tag WHERE repository = ?1 AND name = ?2")?;
    let mut new = 0_u64;
    for tag in &push.tags {
        new += u64::from(!exists.exists(params![repository, tag])?);
    }
    if new == 0 {
        return Ok(None);
    }
    let count: u64 = connection
        .prepare_cached("SELECT count(*) FROM tag WHERE repository = ?1")?
        .query_row([repository], |row| row.get(0))?;
    Ok((count + new > push.tags_max).then_some(Unfit::Tags))
}

fn set_tag(connection: &Connection, repository: i64, tag: &str, digest: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO tag(repository, name, digest, updated) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET digest = excluded.digest, updated = excluded.updated",
        )?
        .execute(params![repository, tag, digest, now()])
        .map(drop)
}

/// Removes a tag; `false` when it is not there.
///
/// # Errors
/// SQLite's.
pub fn untag(connection: &Connection, name: &str, tag: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("DELETE FROM tag WHERE name = ?2 AND repository = (SELECT id FROM repository WHERE name = ?1)")?
        .execute([name, tag])
        .map(|count| count > 0)
}

/// Removes a manifest with its tags; `false` when it is not there.
///
/// # Errors
/// SQLite's.
pub fn remove(connection: &Connection, name: &str, digest: &Digest) -> rusqlite::Result<bool> {
    let Some(repository) = blob::repository(connection, name)? else { return Ok(false) };
    let count = connection
        .prepare_cached("DELETE FROM manifest WHERE repository = ?1 AND digest = ?2")?
        .execute(params![repository, digest.as_str()])?;
    connection
        .prepare_cached(
            "DELETE FROM document WHERE digest = ?1
             AND NOT EXISTS (SELECT 1 FROM manifest WHERE manifest.document = document.id)",
        )?
        .execute([digest.as_str()])?;
    Ok(count > 0)
}

/// A page of the manifests whose subject is `digest`, by digest, after `last`.
///
/// # Errors
/// SQLite's.
pub fn referrers(
    connection: &Connection,
    name: &str,
    digest: &Digest,
    artifact_type: Option<&str>,
    last: &str,
    limit: usize,
) -> rusqlite::Result<Vec<Referrer>> {
    let read = |row: &Row<'_>| {
        let annotations: String = row.get(4)?;
        Ok(Referrer {
            media_type: row.get(0)?,
            size: row.get(1)?,
            digest: row.get(2)?,
            artifact_type: row.get(3)?,
            annotations: serde_json::from_str(&annotations).unwrap_or_default(),
        })
    };
    connection
        .prepare_cached(
            "SELECT media_type, size, digest, artifact_type, annotations FROM manifest
             WHERE repository = (SELECT id FROM repository WHERE name = ?1) AND subject = ?2 AND digest > ?4
             AND (?3 IS NULL OR artifact_type = ?3) ORDER BY digest LIMIT ?5",
        )?
        .query_map(params![name, digest.as_str(), artifact_type, last, limit], read)?
        .collect()
}
