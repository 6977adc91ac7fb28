//! `GET /images/{name}/attestations`: what is attested of an image (Docker Engine API 1.55).

use berth_spec::Platform;
use serde_json::{Value, json};

use crate::{Engine, Error, failure::Answer, query::Query, stream};

/// `platform` (one), `type` (several), `statement` (whether the documents come too).
pub async fn list(engine: &Engine, name: &str, query: &Query) -> Answer {
    let platforms = query.all("platform");
    if platforms.len() > 1 {
        return Err(Error::Invalid("only one platform value is currently supported".to_owned()).into());
    }
    if let Some(text) = platforms.first() {
        let wanted: Platform = match serde_json::from_str(text) {
            Ok(platform) => platform,
            Err(_) => Platform::parse(text).map_err(|error| Error::Invalid(error.to_string()))?,
        };
        let image = engine.images.resolve(name).await?;
        if !wanted.covers(&Platform::of_config(&image.config)) {
            let missing = format!("{name}: no manifest for platform {wanted}");
            return Err(berth_image::Error::Missing(missing).into());
        }
    }
    let (kinds, whole) = (query.all("type"), query.flag("statement")?);
    let mut found = Vec::new();
    for one in engine.images.attestations(name).await? {
        if !kinds.is_empty() && !kinds.contains(&one.kind) {
            continue;
        }
        let mut value = json!({ "Descriptor": one.descriptor, "PredicateType": one.kind });
        if whole {
            value["Statement"] = serde_json::from_slice::<Value>(&one.statement).unwrap_or_default();
        }
        found.push(value);
    }
    stream::json(&found)
}
