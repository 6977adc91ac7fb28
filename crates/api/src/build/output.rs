//! What a build gives out beside its image: its cache, and its images as one OCI layout.

use std::sync::Arc;

use axum::extract::{Path, State};
use berth_image::Bundle;
use berth_spec::Digest;

use super::history::packed;
use crate::{
    Engine, Error,
    failure::{Answer, Failure},
    query::Query,
    stream::{self, TAR},
};

/// `GET /berth/build/cache/{reference}`: the cache that a build wrote for its client, once, as a tar archive.
pub async fn cache(State(engine): State<Arc<Engine>>, Path(reference): Path<String>) -> Answer {
    let folder = engine.builder.take_cache(&reference);
    let folder = folder.ok_or_else(|| berth_build::Error::Missing(format!("build {reference} wrote no cache")))?;
    let failed = |error: std::io::Error| Failure::from(Error::Body(error.to_string()));
    let root = std::fs::File::open(&folder.path).map_err(failed)?;
    Ok(packed(root.into(), Box::new(folder.guard)))
}

/// `GET /berth/build/bundle?id=…&name=…`: images of several platforms, with what is attested of them, as one.
pub async fn bundle(State(engine): State<Arc<Engine>>, query: Query) -> Answer {
    let parse = |text: &String| Digest::parse(text).map_err(|error| Failure::from(Error::Invalid(error.to_string())));
    let images = query.all("id").iter().map(parse).collect::<Result<Vec<_>, _>>()?;
    if images.is_empty() {
        return Err(Error::Invalid("id is missing".to_owned()).into());
    }
    let bundle = Bundle { images, always_index: query.flag("index")? };
    let pieces = engine.images.save_bundle(&bundle, &query.all("name")).await?;
    Ok(stream::bytes(TAR, pieces))
}
