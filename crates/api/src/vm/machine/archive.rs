//! `GET /vm/machines/{name}/export` and `POST /vm/import`

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
};
use serde_json::json;

use super::whole;
use crate::{Engine, body, failure::Answer, name::Name, query::Query, stream};

pub async fn export(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    Ok(stream::bytes(stream::TAR, engine.machines.export(&name).await?))
}

pub async fn import(State(engine): State<Arc<Engine>>, query: Query, request: Request) -> Answer {
    let (archive, name) = (body::stream(request.into_body()), query.text("name"));
    let made = whole(async move { engine.machines.import(archive, name.as_deref()).await }).await?;
    stream::json_with(StatusCode::CREATED, &json!({"Name": made.name, "Uuid": made.uuid}))
}
