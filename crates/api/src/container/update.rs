//! `POST /containers/{id}/update`

use std::sync::Arc;

use axum::extract::State;
use berth_spec::model::HostConfig;
use serde::Serialize;

use crate::{Engine, body::Json, failure::Answer, name::Name, stream};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Updated {
    warnings: Vec<String>,
}

pub async fn update(State(engine): State<Arc<Engine>>, Name(id): Name, Json(wanted): Json<HostConfig>) -> Answer {
    stream::json(&Updated { warnings: engine.containers.update(&id, wanted).await? })
}
