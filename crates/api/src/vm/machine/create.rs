//! `POST /vm/machines`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use berth_machine::Create;
use serde_json::json;

use crate::{Engine, body::Json, failure::Answer, stream};

pub async fn create(State(engine): State<Arc<Engine>>, Json(wanted): Json<Create>) -> Answer {
    let made = engine.machines.create(wanted).await?;
    stream::json_with(StatusCode::CREATED, &json!({"Name": made.name, "Uuid": made.uuid}))
}
