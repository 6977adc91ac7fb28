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
    let listed = engine.volumes.list(&query.filters()?.0).await?;
    let warnings = Some(listed.warnings).filter(|warnings| !warnings.is_empty());
    stream::json(&List { volumes: listed.volumes, warnings })
}

pub async fn inspect(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    stream::json(&engine.volumes.inspect(&name).await?)
}

pub async fn remove(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    engine.volumes.remove(&name, query.flag("force")?).await?;
    stream::done()
}

/// Another name for the same bytes; berth's own.
pub async fn rename(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    stream::json(&engine.volumes.rename(&name, query.required("name")?).await?)
}

/// Only volumes of a cluster can be updated, and this engine is in none: Docker's answer outside of one.
pub async fn update() -> Failure {
    Error::NoCluster("volume update only valid for cluster volumes, but swarm is unavailable").into()
}
