//! `POST /volumes/{name}/clone` and `/volumes/{name}/snapshot`; berth's own.

use std::{collections::HashMap, sync::Arc};

use axum::{extract::State, http::StatusCode};
use berth_spec::model;
use berth_volume::DuplicateRequest;
use serde::{Deserialize, Serialize};

use crate::{Engine, body::OptionalJson, failure::Answer, name::Name, query::Query, stream};

/// What is said of the copy.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Wanted {
    labels: HashMap<String, String>,
}

/// The copy, and what it cost.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Copied {
    #[serde(flatten)]
    volume: model::Volume,
    /// Bytes that both volumes have in common on disk.
    shared_bytes: u64,
    /// Bytes that were written.
    written_bytes: u64,
}

pub async fn clone(
    State(engine): State<Arc<Engine>>,
    Name(name): Name,
    query: Query,
    OptionalJson(wanted): OptionalJson<Wanted>,
) -> Answer {
    let copy = query.required("name")?.to_owned();
    copied(&engine, &name, DuplicateRequest { name: copy, labels: wanted.labels, read_only: false }).await
}

pub async fn snapshot(
    State(engine): State<Arc<Engine>>,
    Name(name): Name,
    query: Query,
    OptionalJson(wanted): OptionalJson<Wanted>,
) -> Answer {
    let copy = query.text("name").unwrap_or_default();
    copied(&engine, &name, DuplicateRequest { name: copy, labels: wanted.labels, read_only: true }).await
}

async fn copied(engine: &Engine, name: &str, request: DuplicateRequest) -> Answer {
    let (volume, done) = engine.volumes.duplicate(name, request).await?;
    let copied = Copied { volume, shared_bytes: done.shared_bytes, written_bytes: done.written_bytes };
    stream::json_with(StatusCode::CREATED, &copied)
}
