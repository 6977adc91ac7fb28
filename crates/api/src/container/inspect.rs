//! `GET /containers/{id}/json`

use std::sync::Arc;

use axum::extract::State;

use super::shape;
use crate::{Engine, Error, failure::Answer, name::Name, query::Query, stream, version::Version};

pub async fn inspect(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query, version: Version) -> Answer {
    let container = engine.containers.inspect(&id, query.flag("size")?).await?;
    let mut container = serde_json::to_value(&container).map_err(Error::Encode)?;
    shape::complete(&mut container, version);
    stream::json(&container)
}
