//! `POST /vm/machines`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use berth_machine::Create;
use serde_json::json;

use super::whole;
use crate::{Engine, body::Json, failure::Answer, stream};

pub async fn create(State(engine): State<Arc<Engine>>, Json(wanted): Json<Create>) -> Answer {
    let made = whole(async move { engine.machines.create(wanted).await }).await?;
    stream::json_with(StatusCode::CREATED, &json!({"Name": made.name, "Uuid": made.uuid}))
}
