//! `POST /berth/fsck`: whether all that is stored is what it was; with `repair`, what is not is mended.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};
use berth_image::FsckRequest;

use crate::{Engine, failure::Answer, query::Query, registry, stream};

pub async fn fsck(State(engine): State<Arc<Engine>>, headers: HeaderMap, query: Query) -> Answer {
    let request = FsckRequest {
        repair: query.flag("repair")?,
        policy: registry::policy(&engine),
        credentials: registry::all_credentials(&headers)?,
    };
    stream::json(&engine.images.fsck(&request).await?)
}
