//! `POST /commit`

use std::sync::Arc;

use axum::{extract::State, http::StatusCode};
use berth_container::CommitRequest;
use berth_spec::model::ContainerConfig;
use serde::Serialize;

use crate::{Engine, body::OptionalJson, failure::Answer, query::Query, stream};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Committed {
    id: String,
}

pub async fn commit(
    State(engine): State<Arc<Engine>>,
    query: Query,
    OptionalJson(config): OptionalJson<Option<ContainerConfig>>,
) -> Answer {
    let request = CommitRequest {
        container: query.required("container")?.to_owned(),
        repo: query.text("repo"),
        tag: query.text("tag"),
        comment: query.text("comment"),
        author: query.text("author"),
        pause: query.flag_or("pause", true)?,
        changes: query.all("changes"),
        config,
    };
    let id = engine.containers.commit(request).await?;
    stream::json_with(StatusCode::CREATED, &Committed { id })
}
