//! `images`: what is here.

use std::cmp::Reverse;

use berth_spec::model::ImageSummary;

use crate::{
    Filters, Images, Result,
    filter::{LIST_KEYS, Matcher, created_at},
    images::Shared,
    index::Index,
    record::ImageRecord,
};

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Also images without name on which others were committed.
    pub all: bool,
    /// Compute how much of each image others share.
    pub shared_size: bool,
    /// Count the containers of each image.
    pub count: bool,
    /// Which.
    pub filters: Filters,
}

impl Images {
    /// The images that pass, newest first.
    ///
    /// # Errors
    /// [`crate::Error::Filter`], [`crate::Error::Missing`].
    pub async fn list(&self, request: &ListRequest) -> Result<Vec<ImageSummary>> {
        let index = self.shared.snapshot();
        let matcher = Matcher::new(&index, &request.filters, LIST_KEYS)?;
        let mut images: Vec<&ImageRecord> = index.images.values().map(AsRef::as_ref).collect();
        images.sort_by_key(|image| Reverse(created_at(image)));
        let mut summaries = Vec::new();
        for image in images.into_iter().filter(|image| matcher.fits(image)) {
            let tags: Vec<String> = index.tags_of(&image.id).cloned().collect();
            let is_dangling = tags.is_empty() && image.digests.is_empty();
            if matcher.dangling.is_some_and(|dangling| dangling != is_dangling) {
                continue;
            }
            if is_dangling && !request.all && index.has_children(&image.id) {
                continue;
            }
            let mut summary = self.shared.summary(&index, image, request.shared_size, request.count);
            if !matcher.references.is_empty() {
                let chosen = (matcher.chosen(tags), matcher.chosen(image.digests.clone()));
                if let (None, None) = chosen {
                    continue;
                }
                (summary.repo_tags, summary.repo_digests) =
                    (chosen.0.unwrap_or_default(), chosen.1.unwrap_or_default());
            }
            summaries.push(summary);
        }
        Ok(summaries)
    }
}

impl Shared {
    /// One line of the list. Shared size and containers are -1 unless asked for.
    pub fn summary(&self, index: &Index, image: &ImageRecord, shared_size: bool, count: bool) -> ImageSummary {
        let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        ImageSummary {
            id: image.id.to_string(),
            parent_id: image.parent.as_ref().map(ToString::to_string).unwrap_or_default(),
            repo_tags: index.tags_of(&image.id).cloned().collect(),
            repo_digests: image.digests.clone(),
            created: created_at(image).as_second(),
            size: signed(index.bytes_of(image)),
            shared_size: if shared_size { signed(index.shared_bytes_of(image)) } else { -1 },
            labels: image.config.config.labels.clone().unwrap_or_default().into_iter().collect(),
            containers: if count { i64::try_from(self.containers_of(&image.id).len()).unwrap_or(i64::MAX) } else { -1 },
            manifests: None,
            descriptor: None,
        }
    }
}
