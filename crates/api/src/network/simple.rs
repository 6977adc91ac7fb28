//! Verbs that need no more than a line or two.

use std::sync::Arc;

use axum::extract::State;

use super::view;
use crate::{Engine, failure::Answer, name::Name, stream};

pub async fn inspect(State(engine): State<Arc<Engine>>, Name(id): Name) -> Answer {
    let found = engine.networks.inspect(&id)?;
    stream::json(&view::network(&found.network, &found.endpoints))
}

pub async fn remove(State(engine): State<Arc<Engine>>, Name(id): Name) -> Answer {
    engine.networks.remove(&id).await?;
    stream::done()
}
