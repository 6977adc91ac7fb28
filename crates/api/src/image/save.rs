//! `GET /images/get` and `GET /images/{name}/get`

use std::sync::Arc;

use axum::extract::State;

use crate::{Engine, Error, failure::Answer, query::Query, stream};

pub async fn save_many(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let names = query.all("names");
    if names.is_empty() {
        return Err(Error::Missing("names").into());
    }
    save(&engine, &names).await
}

pub async fn save(engine: &Engine, names: &[String]) -> Answer {
    Ok(stream::bytes(stream::TAR, engine.images.save(names).await?))
}
