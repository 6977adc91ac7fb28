//! `POST /containers/{id}/exec`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use berth_spec::model::ExecConfig;
use serde::Serialize;

use crate::{Engine, Error, body::Json, failure::Answer, name::Name, stream};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

pub async fn create(State(engine): State<Arc<Engine>>, Name(id): Name, Json(config): Json<ExecConfig>) -> Answer {
    if config.cmd.as_ref().is_none_or(Vec::is_empty) {
        return Err(Error::Invalid("No exec command specified".to_owned()).into());
    }
    let id = engine.containers.exec_create(&id, config).await?;
    stream::json_with(StatusCode::CREATED, &Created { id })
}
