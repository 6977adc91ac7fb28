//! Verbs that need no more than a line or two.

use axum::{http::StatusCode, response::IntoResponse};

use crate::{Engine, failure::Answer, query::Query, stream};

pub async fn inspect(engine: &Engine, name: &str) -> Answer {
    stream::json(&engine.images.inspect(name).await?)
}

pub async fn history(engine: &Engine, name: &str) -> Answer {
    stream::json(&engine.images.history(name).await?)
}

pub async fn tag(engine: &Engine, name: &str, query: &Query) -> Answer {
    engine.images.tag(name, query.required("repo")?, query.get("tag").unwrap_or_default()).await?;
    Ok(StatusCode::CREATED.into_response())
}
