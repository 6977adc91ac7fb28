//! `POST /images/{name}/push`

use axum::http::HeaderMap;
use berth_image::PushRequest;
use berth_spec::Reference;

use super::{platform, progress};
use crate::{Engine, Error, failure::Answer, query::Query, registry};

pub async fn push(engine: &Engine, name: &str, query: &Query, headers: &HeaderMap) -> Answer {
    let invalid = |error: berth_spec::reference::InvalidReference| Error::Invalid(error.to_string());
    let mut reference = Reference::parse(name).map_err(invalid)?;
    if reference.digest().is_some() {
        return Err(Error::Invalid("cannot push a digest reference".to_owned()).into());
    }
    if let Some(tag) = query.get("tag") {
        reference = reference.with_tag(tag).map_err(invalid)?;
    }
    let platform = query.get("platform").map(platform::parse).transpose()?;
    let wanted = PushRequest {
        reference,
        platform,
        credentials: registry::credentials(headers)?,
        policy: registry::policy(engine),
        uploads: engine.settings().uploads,
    };
    let images = engine.images.clone();
    progress::run(|lines| async move { images.push(wanted, Some(lines)).await }).await
}
