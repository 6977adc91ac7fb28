//! `GET` and `PUT /vm/machines/{name}/definition`: the document that people edit.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderValue, header},
    response::Response,
};
use serde_json::json;

use super::whole;
use crate::{Engine, body, failure::Answer, name::Name, stream};

pub async fn show(State(engine): State<Arc<Engine>>, Name(name): Name) -> Answer {
    let mut response = Response::new(Body::from(engine.machines.definition(&name)?));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/toml"));
    Ok(response)
}

pub async fn replace(State(engine): State<Arc<Engine>>, Name(name): Name, request: Request) -> Answer {
    let text = body::text(request).await?;
    let later = whole(async move { engine.machines.edit(&name, &text).await }).await?;
    stream::json(&json!({"NextStart": later}))
}
