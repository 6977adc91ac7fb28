//! `/containers/{id}/archive`: look at, fetch and store a path.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use base64::Engine as _;
use berth_container::{PathStat, PutRequest};
use serde::Serialize;

use crate::{Engine, Error, Result, body, failure::Answer, name::Name, query::Query, stream};

/// Carries [`Stat`] as base64 of JSON.
const STAT_HEADER: &str = "x-docker-container-path-stat";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stat<'a> {
    name: &'a str,
    size: u64,
    mode: u32,
    mtime: String,
    link_target: &'a str,
}

pub async fn stat(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    let stat = engine.containers.archive_stat(&id, path(&query)?).await?;
    with_stat(StatusCode::OK.into_response(), &stat)
}

pub async fn get(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query) -> Answer {
    let (stat, bytes) = engine.containers.archive_get(&id, path(&query)?).await?;
    with_stat(stream::bytes(stream::TAR, bytes), &stat)
}

pub async fn put(State(engine): State<Arc<Engine>>, Name(id): Name, query: Query, request: Request) -> Answer {
    let wanted = PutRequest {
        no_overwrite_dir_non_dir: query.flag("noOverwriteDirNonDir")?,
        copy_uid_gid: query.flag("copyUIDGID")?,
    };
    let archive = body::stream(request.into_body());
    engine.containers.archive_put(&id, path(&query)?, wanted, archive).await?;
    Ok(StatusCode::OK.into_response())
}

fn path(query: &Query) -> Result<&str> {
    query.required("path")
}

fn with_stat(mut response: Response, stat: &PathStat) -> Answer {
    let json = serde_json::to_vec(&Stat {
        name: &stat.name,
        size: stat.size,
        mode: stat.mode,
        mtime: stat.mtime.to_string(),
        link_target: &stat.link_target,
    })
    .map_err(Error::Encode)?;
    let text = base64::engine::general_purpose::STANDARD.encode(json);
    let value =
        HeaderValue::from_str(&text).map_err(|error| Error::Header { name: STAT_HEADER, reason: error.to_string() })?;
    response.headers_mut().insert(STAT_HEADER, value);
    Ok(response)
}
