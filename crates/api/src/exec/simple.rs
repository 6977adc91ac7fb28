//! Verbs that need no more than a line or two.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::IntoResponse};

use serde_json::json;

use crate::{Engine, Error, container::shape, failure::Answer, name::Name, query::Query, stream};

pub async fn inspect(State(engine): State<Arc<Engine>>, Name(id): Name) -> Answer {
    let session = engine.containers.exec_inspect(&id).await?;
    let mut session = serde_json::to_value(&session).map_err(Error::Encode)?;
    // Clients look for the code before there is one.
    shape::fill(&mut session, &json!({"ExitCode": null}));
    stream::json(&session)
}

pub async fn resize(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    let (height, width) = (query.required_number("h")?, query.required_number("w")?);
    engine.containers.exec_resize(&id, height, width).await?;
    Ok(StatusCode::OK.into_response())
}
