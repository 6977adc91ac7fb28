//! `POST /vm/machines/{name}/clone`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde_json::json;

use crate::{Engine, failure::Answer, name::Name, query::Query, stream};

pub async fn clone(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    let made = engine.machines.clone_machine(&name, query.required("to")?, query.get("snapshot")).await?;
    stream::json_with(StatusCode::CREATED, &json!({"Name": made.name, "Uuid": made.uuid}))
}
