//! `POST /containers/{id}/start`

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::header,
};
use berth_container::StartRequest;

use crate::{Engine, Error, failure::Answer, name::Name, query::Query, stream};

pub async fn start(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query, request: Request) -> Answer {
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    // Some clients send `{}` or `null` out of habit, which says nothing.
    if length.unwrap_or(0) > 7 {
        let text = "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24";
        return Err(Error::Invalid(text.to_owned()).into());
    }
    let request = StartRequest { checkpoint: query.text("checkpoint"), checkpoint_dir: query.text("checkpoint-dir") };
    engine.containers.start(&id, request).await?;
    stream::done()
}
