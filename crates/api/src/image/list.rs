//! `GET /images/json`

use std::sync::Arc;

use axum::extract::State;
use berth_image::ListRequest;

use crate::{Engine, Error, failure::Answer, query::Query, stream, version::Version};

pub async fn list(State(engine): State<Arc<Engine>>, query: Query, version: Version) -> Answer {
    if query.flag("identity")? && !query.flag("manifests")? {
        return Err(Error::Invalid("conflicting options: identity requires manifests".to_owned()).into());
    }
    let mut filters = query.filters()?.0;
    // What clients before API 1.25 wrote for a reference.
    if let Some(name) = query.text("filter") {
        filters.entry("reference".to_owned()).or_default().push(name);
    }
    let request = ListRequest {
        all: query.flag("all")?,
        shared_size: query.flag("shared-size")?,
        count: version >= Version::new(1, 51),
        filters,
    };
    stream::json(&engine.images.list(&request).await?)
}
