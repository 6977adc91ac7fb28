//! `POST /images/load`

use std::sync::Arc;

use axum::extract::{Request, State};

use super::progress;
use crate::{Engine, body, failure::Answer};

pub async fn load(State(engine): State<Arc<Engine>>, request: Request) -> Answer {
    let (images, archive) = (engine.images.clone(), body::stream(request.into_body()));
    progress::run(|lines| async move { images.load(archive, Some(lines)).await }).await
}
