//! `history`: how an image came to be.

use berth_spec::model::ImageHistoryResponseItem;

use crate::{Images, Result, index::Index, record::ImageRecord, resolve::find};

/// Docker's word for a step whose image is not here.
const MISSING: &str = "<missing>";

impl Images {
    /// The steps of an image's making, newest first, with the sizes of their layers in bytes.
    ///
    /// # Errors
    /// As for [`Images::resolve`].
    pub async fn history(&self, name: &str) -> Result<Vec<ImageHistoryResponseItem>> {
        let index = self.shared.snapshot();
        let image = find(&index, name)?;
        let mut layers = image.chain_ids.iter();
        let mut steps: Vec<ImageHistoryResponseItem> = Vec::new();
        for step in &image.config.history {
            let chain = if step.empty_layer { None } else { layers.next() };
            let bytes = chain.and_then(|chain| index.layers.get(chain)).map_or(0, |layer| layer.bytes);
            let created = step.created.as_deref().and_then(|at| at.parse::<berth_kit::time::Timestamp>().ok());
            steps.push(ImageHistoryResponseItem {
                id: MISSING.to_owned(),
                created: created.map_or(0, berth_kit::time::Timestamp::as_second),
                created_by: step.created_by.clone().unwrap_or_default(),
                tags: Vec::new(),
                size: i64::try_from(bytes).unwrap_or(i64::MAX),
                comment: step.comment.clone().unwrap_or_default(),
            });
        }
        steps.reverse();
        name_steps(&index, Some(&image), &mut steps);
        Ok(steps)
    }
}

/// The newest step is the image; those before it are its parents, as far as these are here.
fn name_steps(index: &Index, image: Option<&ImageRecord>, steps: &mut [ImageHistoryResponseItem]) {
    let mut image = image;
    for step in steps {
        let Some(found) = image else { return };
        step.id = found.id.to_string();
        step.tags = index.tags_of(&found.id).cloned().collect();
        image = found.parent.as_ref().and_then(|parent| index.images.get(parent)).map(AsRef::as_ref);
    }
}
