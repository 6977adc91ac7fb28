//! `POST /berth/images/copy`: an image from one registry to another, with all its platforms, without unpacking it.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};
use berth_image::CopyRequest;

use super::{credentials_for, parse, policy};
use crate::{Engine, failure::Answer, image::progress, query::Query};

pub async fn copy(State(engine): State<Arc<Engine>>, headers: HeaderMap, query: Query) -> Answer {
    let (from, to) = (parse(query.required("from")?)?.with_default_tag(), parse(query.required("to")?)?);
    // A digest stays what it is; everything else gets a tag.
    let to = if from.digest().is_some() && to.tag().is_none() { to } else { to.with_default_tag() };
    let wanted = CopyRequest {
        source_credentials: credentials_for(&headers, &from)?,
        target_credentials: credentials_for(&headers, &to)?,
        source: from,
        target: to,
        policy: policy(&engine),
    };
    let images = engine.images.clone();
    progress::run(|lines| async move { images.copy(wanted, Some(lines)).await }).await
}
