//! `DELETE /containers/{id}`

use std::sync::Arc;

use axum::extract::State;
use berth_container::RemoveRequest;

use crate::{Engine, failure::Answer, name::Name, query::Query, stream};

pub async fn remove(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    let request = RemoveRequest { force: query.flag("force")?, volumes: query.flag("v")?, link: query.flag("link")? };
    engine.containers.remove(&id, request).await?;
    stream::done()
}
