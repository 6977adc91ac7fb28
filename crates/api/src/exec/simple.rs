//! Verbs that need no more than a line or two.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::IntoResponse};

use crate::{Engine, failure::Answer, name::Name, query::Query, stream};

pub async fn inspect(State(engine): State<Arc<Engine>>, Name(id): Name) -> Answer {
    stream::json(&engine.containers.exec_inspect(&id).await?)
}

pub async fn resize(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    let (height, width) = (query.required_number("h")?, query.required_number("w")?);
    engine.containers.exec_resize(&id, height, width).await?;
    Ok(StatusCode::OK.into_response())
}
