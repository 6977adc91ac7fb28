//! What can be asked of a builder besides a build: its cache, its history, the files of what it made.

use std::sync::Arc;

use berth_spec::Digest;

use super::Builder;
use crate::{
    BuildRecord, Error, HistoryFilter, PruneReport, PruneRequest, Result, cache::Entry, context::blocking,
    layer::Scratch, usage,
};

impl Builder {
    /// Removes from the cache.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an unknown filter, [`Error::Record`], [`Error::File`].
    pub async fn prune(&self, request: PruneRequest) -> Result<PruneReport> {
        if let Some((name, _)) = request.filters.iter().find(|(name, _)| !usage::FILTERS.contains(&name.as_str())) {
            return Err(Error::Invalid(format!("invalid filter '{name}'")));
        }
        let shared = Arc::clone(&self.shared);
        let report = blocking(move || shared.prune(&request)).await?;
        if !report.removed.is_empty() {
            self.shared.images.collect().await?;
        }
        Ok(report)
    }

    /// What the cache holds, with the bytes of each entry.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when the daemon ends.
    pub async fn usage(&self) -> Result<Vec<(Entry, u64)>> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            Ok(shared
                .cache
                .all()
                .into_iter()
                .map(|entry| (shared.bytes_of(&entry), entry))
                .map(|(bytes, entry)| (entry, bytes))
                .collect())
        })
        .await
    }

    /// Builds of the past, newest first.
    ///
    /// # Errors
    /// [`Error::Record`].
    pub fn history(&self, filter: &HistoryFilter) -> Result<Vec<BuildRecord>> {
        self.shared.history.list(filter)
    }

    /// One build of the past: its name or how that begins, `^1` for the one before the last, empty for the last.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Record`].
    pub fn build_record(&self, reference: &str) -> Result<BuildRecord> {
        self.shared.history.find(reference)
    }

    /// What a build told, as JSON documents, a line each.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::File`].
    pub fn build_events(&self, reference: &str) -> Result<Vec<u8>> {
        self.shared.history.events(&self.shared.history.find(reference)?.reference)
    }

    /// Forgets a build.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Record`], [`Error::File`].
    pub fn forget_build(&self, reference: &str) -> Result<()> {
        self.shared.history.remove(&self.shared.history.find(reference)?.reference)
    }

    /// The files of an image that was built, as a read-only folder that stays while the guard lives.
    ///
    /// # Errors
    /// [`Error::Image`], [`Error::Snapshot`].
    pub async fn files(&self, id: &Digest) -> Result<(std::os::fd::OwnedFd, Box<dyn std::any::Any + Send + Sync>)> {
        let image = self.shared.images.resolve(id.as_str()).await?;
        let top = image.top.as_deref().and_then(|top| Digest::parse(top).ok());
        let snapshots = Arc::clone(&self.shared.snapshots);
        blocking(move || {
            let scratch = Scratch::create(&snapshots, top.as_ref())?;
            let root = scratch.mount(true)?;
            Ok((root, Box::new(scratch) as Box<dyn std::any::Any + Send + Sync>))
        })
        .await
    }
}
