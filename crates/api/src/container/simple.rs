//! Verbs that need no more than a line or two.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::IntoResponse};
use serde::Serialize;

use crate::{Engine, Error, failure::Answer, name::Name, query::Query, stream};

pub async fn kill(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    engine.containers.kill(&id, query.get("signal")).await?;
    stream::done()
}

pub async fn pause(State(engine): State<Arc<Engine>>, Name(id): Name) -> Answer {
    engine.containers.pause(&id).await?;
    stream::done()
}

pub async fn unpause(State(engine): State<Arc<Engine>>, Name(id): Name) -> Answer {
    engine.containers.unpause(&id).await?;
    stream::done()
}

pub async fn rename(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    let name = query.get("name").ok_or_else(|| Error::Invalid("Neither old nor new names may be empty".to_owned()))?;
    engine.containers.rename(&id, name.strip_prefix('/').unwrap_or(name)).await?;
    stream::done()
}

pub async fn resize(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    let (height, width) = (query.required_number("h")?, query.required_number("w")?);
    engine.containers.resize(&id, height, width).await?;
    Ok(StatusCode::OK.into_response())
}

/// Processes as `ps` shows them.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Processes {
    titles: Vec<String>,
    processes: Vec<Vec<String>>,
}

pub async fn top(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    let top = engine.containers.top(&id, query.get("ps_args").unwrap_or("-ef")).await?;
    stream::json(&Processes { titles: top.titles, processes: top.processes })
}

/// A path that differs from the image.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    path: String,
    kind: u8,
}

pub async fn changes(State(engine): State<Arc<Engine>>, Name(id): Name) -> Answer {
    let changes = engine.containers.changes(&id).await?.into_iter();
    stream::json(&changes.map(|change| Change { path: change.path, kind: change.kind }).collect::<Vec<_>>())
}

pub async fn export(State(engine): State<Arc<Engine>>, Name(id): Name) -> Answer {
    Ok(stream::bytes(stream::TAR, engine.containers.export(&id).await?))
}
