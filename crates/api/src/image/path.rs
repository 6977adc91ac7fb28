//! `/images/<name with slashes>/<verb>`

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};

use super::{attestations, push, save, simple};
use crate::{Engine, Error, failure::Answer, name::Name, query::Query, version::Version};

pub async fn get(State(engine): State<Arc<Engine>>, Name(path): Name, version: Version, query: Query) -> Answer {
    match path.rsplit_once('/') {
        Some((name, "json")) => simple::inspect(&engine, name, version, &query).await,
        Some((name, "history")) => simple::history(&engine, name, &query).await,
        Some((name, "get")) => save::save(&engine, &[name.to_owned()], &query).await,
        Some((name, "attestations")) => attestations::list(&engine, name, &query).await,
        _ => Err(Error::NoPage.into()),
    }
}

pub async fn post(State(engine): State<Arc<Engine>>, Name(path): Name, headers: HeaderMap, query: Query) -> Answer {
    match path.rsplit_once('/') {
        Some((name, "tag")) => simple::tag(&engine, name, &query).await,
        Some((name, "push")) => push::push(&engine, name, &query, &headers).await,
        _ => Err(Error::NoPage.into()),
    }
}
