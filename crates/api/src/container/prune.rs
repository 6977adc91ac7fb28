//! `POST /containers/prune`

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use crate::{Engine, failure::Answer, query::Query, stream};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Pruned {
    /// Null where nothing was removed, as Docker has it.
    containers_deleted: Option<Vec<String>>,
    space_reclaimed: u64,
}

pub async fn prune(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let report = engine.containers.prune(&query.filters()?).await?;
    stream::json(&Pruned { containers_deleted: stream::some(report.deleted), space_reclaimed: report.space_bytes })
}
