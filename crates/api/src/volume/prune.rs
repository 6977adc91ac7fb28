//! `POST /volumes/prune`

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use crate::{Engine, failure::Answer, query::Query, stream, version::Version};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pruned {
    volumes_deleted: Vec<String>,
    space_reclaimed: u64,
}

pub async fn prune(State(engine): State<Arc<Engine>>, query: Query, version: Version) -> Answer {
    // Named volumes are spared since API 1.42.
    let all = version < Version::new(1, 42);
    let pruned = engine.volumes.prune(&query.filters()?.0, all).await?;
    stream::json(&Pruned { volumes_deleted: pruned.deleted, space_reclaimed: pruned.space_bytes })
}
