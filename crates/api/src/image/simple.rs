//! Verbs that need no more than a line or two.

use axum::{http::StatusCode, response::IntoResponse};

use berth_spec::Reference;
use serde_json::{Value, json};

use super::platform;
use crate::{Engine, Error, container::shape, failure::Answer, query::Query, stream, version::Version};

/// Clients of older versions look for what later ones left out.
pub async fn inspect(engine: &Engine, name: &str, version: Version, query: &Query) -> Answer {
    if query.flag("manifests")? && query.get("platform").is_some() {
        return Err(Error::Invalid(
            "conflicting options: manifests and platform options cannot both be set".to_owned(),
        )
        .into());
    }
    platform::check(engine, name, query, "platform").await?;
    let mut image = serde_json::to_value(engine.images.inspect(name).await?).map_err(Error::Encode)?;
    if let Some(parent) = engine.images.parent(name).await? {
        image["Parent"] = json!(parent.to_string());
    }
    if version >= Version::new(1, 53) {
        identify(&mut image);
    }
    if version >= Version::new(1, 52) {
        return stream::json(&image);
    }
    shape::fill(&mut image, &json!({"Parent": "", "DockerVersion": ""}));
    if version < Version::new(1, 44) {
        let size = image["Size"].clone();
        shape::fill(&mut image, &json!({"VirtualSize": size}));
    }
    let config = json!({
        "User": "", "Env": null, "Cmd": null, "Volumes": null, "WorkingDir": "", "Entrypoint": null, "OnBuild": null,
        "Labels": null,
    });
    shape::fill(&mut image["Config"], &config);
    stream::json(&image)
}

/// Where the image came from, by what its registries call it: tags of this machine say nothing about it.
fn identify(image: &mut Value) {
    let digests = image["RepoDigests"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let named = digests.filter_map(|digest| digest.split_once('@')).filter_map(|(name, _)| Reference::parse(name).ok());
    let pulled: Vec<Value> =
        named.map(|name| json!({ "Repository": format!("{}/{}", name.domain(), name.path()) })).collect();
    if !pulled.is_empty() {
        image["Identity"] = json!({ "Pull": pulled });
    }
}

pub async fn history(engine: &Engine, name: &str, query: &Query) -> Answer {
    platform::check(engine, name, query, "platform").await?;
    stream::json(&engine.images.history(name).await?)
}

pub async fn tag(engine: &Engine, name: &str, query: &Query) -> Answer {
    engine.images.tag(name, query.required("repo")?, query.get("tag").unwrap_or_default()).await?;
    Ok(StatusCode::CREATED.into_response())
}
