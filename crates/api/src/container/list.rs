//! `GET /containers/json`

use std::sync::Arc;

use axum::extract::State;
use berth_container::ListRequest;

use crate::{Engine, failure::Answer, query::Query, stream};

pub async fn list(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let limit = query.number::<i64>("limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
    let request = ListRequest { all: query.flag("all")?, limit, size: query.flag("size")?, filters: query.filters()? };
    stream::json(&engine.containers.list(request).await?)
}
