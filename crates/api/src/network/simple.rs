//! Verbs that need no more than a line or two.

use std::sync::Arc;

use axum::extract::State;

use super::view;
use crate::{Engine, failure::Answer, name::Name, stream, version::Version};

pub async fn inspect(State(engine): State<Arc<Engine>>, Name(id): Name, version: Version) -> Answer {
    let found = engine.networks.inspect(&id)?;
    let mut network = view::network(&found.network, &found.endpoints);
    if version >= Version::new(1, 52) && !found.addresses.is_empty() {
        network.status = Some(view::status(&found.addresses));
    }
    stream::json(&network)
}

pub async fn remove(State(engine): State<Arc<Engine>>, Name(id): Name) -> Answer {
    engine.networks.remove(&id).await?;
    stream::done()
}
