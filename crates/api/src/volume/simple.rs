//! Verbs that need no more than a line or two.

use std::sync::Arc;

use axum::extract::State;
use berth_spec::model::Volume;
use serde::Serialize;

use crate::{
    Engine, Error,
    failure::{Answer, Failure},
    name::Name,
    query::Query,
    stream,
};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    volumes: Vec<Volume>,
    warnings: Option<Vec<String>>,
}

pub async fn list(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    stream::json(&List { volumes: engine.volumes.list(&query.filters()?.0)?, warnings: None })
}

pub async fn inspect(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    stream::json(&engine.volumes.inspect(&name)?)
}

pub async fn remove(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    engine.volumes.remove(&name, query.flag("force")?).await?;
    stream::done()
}

/// Only cluster volumes can be updated.
pub async fn update() -> Failure {
    Error::NotBuilt("cluster volume").into()
}
