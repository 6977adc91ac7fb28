//! `POST /images/load`

use std::sync::Arc;

use axum::extract::{Request, State};

use super::{platform, progress};
use crate::{Engine, body, failure::Answer, query::Query};

pub async fn load(State(engine): State<Arc<Engine>>, query: Query, request: Request) -> Answer {
    let platforms = query.all("platform").iter().map(|text| platform::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let (images, archive) = (engine.images.clone(), body::stream(request.into_body()));
    progress::run(|lines| async move { images.load_platforms(archive, platforms, Some(lines)).await }).await
}
