//! `DELETE /containers/{id}`

use std::sync::Arc;

use axum::extract::{Path, State};
use berth_container::RemoveRequest;

use crate::{Engine, Error, failure::Answer, name::Name, query::Query, stream};

/// A link's name holds a slash.
pub async fn remove_link(
    State(engine): State<Arc<Engine>>,
    Path((owner, alias)): Path<(String, String)>,
    query: Query,
) -> Answer {
    if !query.flag("link")? {
        return Err(Error::NoPage.into());
    }
    engine.containers.remove_link(&format!("{owner}/{alias}")).await?;
    stream::done()
}

pub async fn remove(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    let request = RemoveRequest { force: query.flag("force")?, volumes: query.flag("v")?, link: query.flag("link")? };
    engine.containers.remove(&id, request).await?;
    stream::done()
}
