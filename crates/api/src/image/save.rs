//! `GET /images/get` and `GET /images/{name}/get`

use std::sync::Arc;

use axum::extract::State;

use super::platform;
use crate::{Engine, Error, failure::Answer, query::Query, stream};

pub async fn save_many(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let names = query.all("names");
    if names.is_empty() {
        return Err(Error::Missing("names").into());
    }
    save(&engine, &names, &query).await
}

pub async fn save(engine: &Engine, names: &[String], query: &Query) -> Answer {
    for name in names {
        platform::check(engine, name, query, "platform").await?;
    }
    Ok(stream::bytes(stream::TAR, engine.images.save(names).await?))
}
