//! `POST /containers/{id}/stop` and `POST /containers/{id}/restart`

use std::sync::Arc;

use axum::extract::State;
use berth_container::StopRequest;

use crate::{Engine, Result, failure::Answer, name::Name, query::Query, stream};

pub async fn stop(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    engine.containers.stop(&id, request(&query)?).await?;
    stream::done()
}

pub async fn restart(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    engine.containers.restart(&id, request(&query)?).await?;
    stream::done()
}

fn request(query: &Query) -> Result<StopRequest> {
    Ok(StopRequest { signal: query.text("signal"), timeout_s: query.number("t")? })
}
