//! Garbage collection while the registry works, and the scrub.
//!
//! Rounds of short transactions; see `ledger::sweep` for why no push is harmed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Result,
    depot::{Depot, before},
    digest::{Algorithm, Digest},
    ledger::sweep,
    upload::Uploads,
};

/// Rows of one transaction.
const PAGE: usize = 500;

/// What to collect.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Terms {
    /// How long something that nobody refers to is kept, in seconds.
    pub grace_s: u64,
    /// How long an upload may rest, in seconds.
    pub upload_s: u64,
    /// Manifests without tag too.
    pub untagged: bool,
}

/// What was collected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collected {
    /// Manifests without tag.
    pub manifests: usize,
    /// Links of repositories to blobs.
    pub links: usize,
    /// Blobs.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that the ledger did not know: left by a crash.
    pub strays: usize,
    /// Uploads that nobody went on with.
    pub uploads: usize,
    /// Repositories with nothing in them.
    pub repositories: usize,
}

/// Collects.
///
/// # Errors
/// Those of store and ledger.
pub async fn collect(depot: &Depot, uploads: &Uploads, terms: Terms) -> Result<Collected> {
    let mut collected = Collected::default();
    let time = before(Duration::from_secs(terms.grace_s));
    // "Older than zero seconds" includes this second.
    let time = if terms.grace_s == 0 { i64::MAX } else { time };
    collected.uploads = uploads.sweep(Duration::from_secs(terms.upload_s))?;
    if terms.untagged {
        collected.manifests = rounds(depot, move |c| sweep::untagged(c, time, PAGE)).await?;
    }
    collected.links = rounds(depot, move |c| sweep::links(c, time, PAGE)).await?;
    let mut last = String::new();
    loop {
        let orphans = depot.ledger.read("list orphans", |c| sweep::orphans(c, &last, PAGE))?;
        for digest in &orphans {
            if let Some(size) = depot.drop_orphan(digest).await? {
                collected.blobs += 1;
                collected.bytes += size;
            }
        }
        match orphans.last() {
            Some(digest) => last = digest.to_string(),
            None => break,
        }
    }
    for digest in depot.store.list(terms.grace_s.min(terms.upload_s)).await? {
        collected.strays += usize::from(depot.drop_stray(&digest).await?);
    }
    collected.repositories =
        depot.ledger.write("remove empty repositories", move |c| sweep::repositories(c, time)).await?;
    Ok(collected)
}

async fn rounds(
    depot: &Depot,
    sweep: impl Fn(&rusqlite::Connection) -> rusqlite::Result<usize> + Copy + Send + 'static,
) -> Result<usize> {
    let mut total = 0;
    loop {
        match depot.ledger.write("collect", sweep).await? {
            0 => return Ok(total),
            count => total += count,
        }
    }
}

/// What a scrub found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrubbed {
    /// Blobs that were read and are right.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Manifests that are right.
    pub manifests: u64,
    /// Digests of what was put aside.
    pub broken: Vec<String>,
}

/// Reads everything and computes all digests again. What is broken is put aside, so a push brings it back.
///
/// # Errors
/// Those of store and ledger.
pub async fn scrub(depot: &Depot) -> Result<Scrubbed> {
    let mut scrubbed = Scrubbed::default();
    let mut last = String::new();
    loop {
        let page = depot.ledger.read("list blobs", |c| sweep::blobs(c, &last, PAGE))?;
        let Some((digest, _)) = page.last() else { break };
        last = digest.to_string();
        for (digest, size) in &page {
            if depot.verify(digest).await? {
                scrubbed.blobs += 1;
                scrubbed.bytes += size;
            } else {
                scrubbed.broken.push(digest.to_string());
            }
        }
    }
    scrub_manifests(depot, &mut scrubbed).await?;
    Ok(scrubbed)
}

async fn scrub_manifests(depot: &Depot, scrubbed: &mut Scrubbed) -> Result<()> {
    const FEW: usize = 16;
    let mut last = String::new();
    loop {
        let page = depot.ledger.read("list manifests", |c| sweep::bodies(c, &last, FEW))?;
        let Some((text, _)) = page.last() else { return Ok(()) };
        last.clone_from(text);
        for (text, bytes) in page {
            let algorithm = Digest::parse(&text).map_or(Algorithm::Sha256, |digest| digest.algorithm());
            if Digest::of(algorithm, &bytes).as_str() == text {
                scrubbed.manifests += 1;
                continue;
            }
            scrubbed.broken.push(text.clone());
            depot.ledger.write("forget a broken manifest", move |c| sweep::forget_document(c, &text)).await?;
        }
    }
}
