//! `ls`.

use berth_spec::model;

use crate::{Record, Result, Terms, Volumes, filter, volumes::blocking};

/// What a list found.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// In order of name.
    pub volumes: Vec<model::Volume>,
    /// Plugins that could not be asked, a sentence each.
    pub warnings: Vec<String>,
}

impl Volumes {
    /// Volumes that pass `terms` (`name`, `driver`, `label`, `dangling`), in order of name; those too that only a plugin knows.
    ///
    /// # Errors
    /// [`crate::Error::InvalidFilter`].
    pub async fn list(&self, terms: &Terms) -> Result<Listed> {
        filter::check(terms, &["name", "driver", "label", "label!", "dangling"])?;
        let dangling = filter::flag(terms, "dangling")?;
        let shared = self.shared.clone();
        let (others, warnings) = blocking(move || Ok(shared.plugins.volumes())).await?;
        let table = self.shared.table();
        let fitting = table.values().filter(|entry| {
            dangling.is_none_or(|wanted| wanted == entry.users.is_empty()) && filter::matches(terms, &entry.record)
        });
        let mut volumes: Vec<_> = fitting.map(|entry| self.shared.view(&entry.record)).collect();
        let unknown = others.into_iter().filter(|other| !table.contains_key(&other.name));
        let fits = |other: &model::Volume| {
            let record = Record { name: other.name.clone(), driver: other.driver.clone(), ..Record::default() };
            dangling.is_none_or(|wanted| wanted) && filter::matches(terms, &record)
        };
        volumes.extend(unknown.filter(fits));
        volumes.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Listed { volumes, warnings })
    }
}
