//! `POST /images/prune`

use std::sync::Arc;

use axum::extract::State;
use berth_spec::model::ImageDeleteResponseItem;
use serde::Serialize;

use super::remove;
use crate::{Engine, failure::Answer, query::Query, stream};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pruned {
    /// Null where nothing was removed, as Docker has it.
    images_deleted: Option<Vec<ImageDeleteResponseItem>>,
    space_reclaimed: u64,
}

pub async fn prune(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let report = engine.images.prune(&query.filters()?.0).await?;
    let images_deleted = stream::some(report.removed.into_iter().map(remove::item).collect());
    stream::json(&Pruned { images_deleted, space_reclaimed: report.space_bytes })
}
