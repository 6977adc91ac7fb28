//! `POST /images/load`

use std::sync::Arc;

use axum::extract::{Request, State};

use super::{platform, progress};
use crate::{Engine, body, failure::Answer, query::Query};

pub async fn load(State(engine): State<Arc<Engine>>, query: Query, request: Request) -> Answer {
    let platforms = platform::all(&query, "platform")?;
    let (images, archive) = (engine.images.clone(), body::stream(request.into_body()));
    progress::run(|lines| async move { images.load_for(archive, platforms, Some(lines)).await }).await
}
