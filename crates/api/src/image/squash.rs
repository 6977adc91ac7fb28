//! `POST /berth/images/squash`: an image with all its layers in one.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use crate::{Engine, failure::Answer, query::Query, stream};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Squashed {
    id: String,
}

pub async fn squash(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let (repository, tag) = (query.get("repo").unwrap_or_default(), query.get("tag").unwrap_or_default());
    let id = engine.images.squash(query.required("from")?, repository, tag).await?;
    stream::json(&Squashed { id: id.to_string() })
}
