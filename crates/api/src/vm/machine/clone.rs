//! `POST /vm/machines/{name}/clone`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use serde_json::json;

use super::whole;
use crate::{Engine, failure::Answer, name::Name, query::Query, stream};

pub async fn clone(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    let (to, snapshot) = (query.required("to")?.to_owned(), query.text("snapshot"));
    let made = whole(async move { engine.machines.clone_machine(&name, &to, snapshot.as_deref()).await }).await?;
    stream::json_with(StatusCode::CREATED, &json!({"Name": made.name, "Uuid": made.uuid}))
}
