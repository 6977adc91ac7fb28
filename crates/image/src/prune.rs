//! `image prune`: images that nobody needs go.

use crate::{
    Filters, Images, Removed, Result,
    filter::{Matcher, PRUNE_KEYS},
};

/// What a prune did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Names and images that are gone.
    pub removed: Vec<Removed>,
    /// Bytes of layers and blobs that are gone.
    pub space_bytes: u64,
}

impl Images {
    /// Removes images without name and without container; with `dangling=false` also named ones without container.
    ///
    /// # Errors
    /// [`crate::Error::Filter`], or the store's failures; an image that is in use meanwhile is left out.
    pub async fn prune(&self, filters: &Filters) -> Result<PruneReport> {
        let filters = filters.clone();
        self.blocking(move |shared| {
            let mut report = PruneReport::default();
            {
                let _changes = shared.lock_changes();
                let index = shared.snapshot();
                let matcher = Matcher::new(&index, &filters, PRUNE_KEYS)?;
                let only_dangling = matcher.dangling.unwrap_or(true);
                for image in index.images.values().filter(|image| matcher.fits(image)) {
                    let references = index.references_of(image);
                    let in_use = !shared.containers_of(&image.id).is_empty();
                    let is_needed = shared.view(|now| now.has_children(&image.id)) || in_use;
                    let is_gone = shared.view(|now| !now.images.contains_key(&image.id));
                    if is_needed || is_gone || (only_dangling && !references.is_empty()) {
                        continue;
                    }
                    shared.remove(image.id.as_str(), true, true, &mut report.removed)?;
                }
            }
            let swept = shared.collect()?;
            report.space_bytes = swept.bytes;
            let reclaimed = [("reclaimed".to_owned(), swept.bytes.to_string())];
            shared.bus.publish("image", "prune", "", reclaimed.into());
            report.removed.extend(swept.layers.iter().map(|chain| Removed::Deleted(chain.to_string())));
            Ok(report)
        })
        .await
    }
}
