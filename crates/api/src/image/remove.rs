//! `DELETE /images/{name}`

use std::sync::Arc;

use axum::extract::State;
use berth_image::Removed;
use berth_spec::model::ImageDeleteResponseItem;

use super::platform;
use crate::{Engine, failure::Answer, name::Name, query::Query, stream};

pub async fn remove(State(engine): State<Arc<Engine>>, Name(name): Name, query: Query) -> Answer {
    platform::check(&engine, &name, &query, "platforms").await?;
    let removed = engine.images.remove(&name, query.flag("force")?, query.flag("noprune")?).await?;
    stream::json(&removed.into_iter().map(item).collect::<Vec<_>>())
}

/// One step of a removal as clients see it.
pub(super) fn item(removed: Removed) -> ImageDeleteResponseItem {
    match removed {
        Removed::Untagged(name) => ImageDeleteResponseItem { untagged: Some(name), deleted: None },
        Removed::Deleted(id) => ImageDeleteResponseItem { untagged: None, deleted: Some(id) },
    }
}
