//! Verbs that need no more than a line or two.

use axum::{http::StatusCode, response::IntoResponse};

use serde_json::json;

use super::platform;
use crate::{Engine, Error, container::shape, failure::Answer, query::Query, stream, version::Version};

/// Clients of older versions look for what later ones left out.
pub async fn inspect(engine: &Engine, name: &str, version: Version, query: &Query) -> Answer {
    if query.flag("manifests")? && query.get("platform").is_some() {
        let text = "conflicting options: manifests and platform options cannot both be set";
        return Err(Error::Invalid(text.to_owned()).into());
    }
    platform::check(engine, name, query, "platform").await?;
    let mut image = serde_json::to_value(engine.images.inspect(name).await?).map_err(Error::Encode)?;
    if let Some(parent) = engine.images.parent(name).await? {
        image["Parent"] = json!(parent.to_string());
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

pub async fn history(engine: &Engine, name: &str, query: &Query) -> Answer {
    platform::check(engine, name, query, "platform").await?;
    stream::json(&engine.images.history(name).await?)
}

pub async fn tag(engine: &Engine, name: &str, query: &Query) -> Answer {
    engine.images.tag(name, query.required("repo")?, query.get("tag").unwrap_or_default()).await?;
    Ok(StatusCode::CREATED.into_response())
}
