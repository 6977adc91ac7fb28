//! `prune`.

use std::collections::BTreeMap;

use crate::{ANONYMOUS_LABEL, Result, Terms, Volumes, filter};

/// What a prune removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Names.
    pub deleted: Vec<String>,
    /// Bytes that became free.
    pub space_bytes: u64,
}

impl Volumes {
    /// Removes unused volumes that pass `terms` (`label`, `label!`, `all`); named ones only with `all`.
    ///
    /// # Errors
    /// [`crate::Error::InvalidFilter`], or the first volume that cannot be removed.
    pub async fn prune(&self, terms: &Terms, all: bool) -> Result<Pruned> {
        filter::check(terms, &["label", "label!", "all"])?;
        let all = filter::flag(terms, "all")?.unwrap_or(all);
        let doomed: Vec<_> = self
            .shared
            .table()
            .values()
            .filter(|entry| entry.users.is_empty() && filter::matches(terms, &entry.record))
            .filter(|entry| all || entry.record.labels.contains_key(ANONYMOUS_LABEL))
            .map(|entry| entry.record.clone())
            .collect();
        let mut pruned = Pruned::default();
        for record in doomed {
            let _turn = self.shared.turns.take(&record.name).await;
            // Somebody took or removed it meanwhile.
            if !self.shared.entry(&record.name).is_ok_and(|entry| entry.users.is_empty() && entry.record == record) {
                continue;
            }
            let bytes = self.measure(record.clone()).await.unwrap_or_default().unwrap_or_default();
            let name = record.name.clone();
            self.destroy(record).await?;
            pruned.deleted.push(name);
            pruned.space_bytes += bytes;
        }
        let attributes = BTreeMap::from([("reclaimed".to_owned(), pruned.space_bytes.to_string())]);
        self.shared.events.publish("volume", "prune", "", attributes);
        Ok(pruned)
    }
}
