//! `POST /berth/build/context`, `PUT /berth/build/context/{id}`: a client's folder, of which only changes are sent.

use std::sync::Arc;

use axum::{
    body::to_bytes,
    extract::{Path, Request, State},
};
use berth_build::ContextEntry;

use super::reader::BodyReader;
use crate::{
    Engine, Error, body,
    failure::{Answer, Failure},
    query::Query,
    stream,
};

/// The longest list of a folder, in bytes.
const LIST_MAX: usize = 256 << 20;

/// The body is a JSON list of entries; the answer says which contents are wanted.
pub async fn begin(State(engine): State<Arc<Engine>>, query: Query, request: Request) -> Answer {
    let key = query.required("key")?.to_owned();
    let bytes = to_bytes(request.into_body(), LIST_MAX).await.map_err(|_| Error::BodyTooLarge(LIST_MAX))?;
    let entries: Vec<ContextEntry> = body::decode(&bytes)?;
    let wanted = engine.builder.contexts().begin(&key, entries).await?;
    stream::json(&wanted)
}

/// The body is a tar archive of what was wanted.
pub async fn receive(State(engine): State<Arc<Engine>>, Path(id): Path<String>, request: Request) -> Answer {
    let reader = BodyReader::new(body::stream(request.into_body()));
    let contexts = engine.builder.contexts().clone();
    let work = tokio::task::spawn_blocking(move || contexts.receive(&id, reader));
    work.await.map_err(|error| Failure::from(Error::Body(error.to_string())))??;
    stream::done()
}
