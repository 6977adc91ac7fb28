//! `GET /distribution/{name}/json`: what a registry says of a reference.

use std::sync::Arc;

use axum::{extract::State, http::HeaderMap};
use berth_remote::Repository;
use berth_spec::{
    Platform,
    image::{ImageConfig, Index, Manifest},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{credentials, parse, policy};
use crate::{Engine, Error, failure::Answer, name::Name, stream};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Distribution {
    descriptor: Value,
    platforms: Vec<Platform>,
}

pub async fn inspect(State(engine): State<Arc<Engine>>, Name(path): Name, headers: HeaderMap) -> Answer {
    let name = path.strip_suffix("/json").ok_or(Error::NoPage)?;
    let reference = parse(name)?.with_default_tag();
    let repository = engine.images.remote().repository(&reference, &policy(&engine), credentials(&headers)?)?;
    let target = reference.digest().map_or(reference.tag().unwrap_or_default(), |digest| digest.as_str());
    let document = repository.manifest(target).await?;
    let platforms = match serde_json::from_slice::<Index>(&document.bytes) {
        Ok(index) => index.manifests.into_iter().filter_map(|manifest| manifest.platform).collect(),
        Err(_) => vec![platform(&repository, &document.bytes).await?],
    };
    let descriptor = json!({"mediaType": document.media_type, "digest": document.digest, "size": document.bytes.len()});
    stream::json(&Distribution { descriptor, platforms })
}

/// The platform that the configuration of a single image names.
async fn platform(repository: &Repository, manifest: &[u8]) -> Result<Platform, crate::failure::Failure> {
    let unusable = |error: serde_json::Error| Error::Invalid(format!("the manifest cannot be read: {error}"));
    let manifest: Manifest = serde_json::from_slice(manifest).map_err(unusable)?;
    let bytes = repository.small(&manifest.config).await?;
    // An artifact's configuration names no platform.
    let config: ImageConfig = serde_json::from_slice(&bytes).unwrap_or_default();
    Ok(Platform::of_config(&config))
}
