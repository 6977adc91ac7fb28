//! `ls`.

use berth_spec::model;

use crate::{Result, Terms, Volumes, filter};

impl Volumes {
    /// Volumes that pass `terms` (`name`, `driver`, `label`, `dangling`), in order of name.
    ///
    /// # Errors
    /// [`crate::Error::InvalidFilter`].
    pub fn list(&self, terms: &Terms) -> Result<Vec<model::Volume>> {
        filter::check(terms, &["name", "driver", "label", "label!", "dangling"])?;
        let dangling = filter::flag(terms, "dangling")?;
        let table = self.shared.table();
        let fitting = table.values().filter(|entry| {
            dangling.is_none_or(|wanted| wanted == entry.users.is_empty()) && filter::matches(terms, &entry.record)
        });
        Ok(fitting.map(|entry| self.shared.view(&entry.record)).collect())
    }
}
