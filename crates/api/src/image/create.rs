//! `POST /images/create`: import from the body, or pull from a registry; the image that is part of berth needs none.

use std::{path::Path, sync::Arc};

use axum::{
    extract::{Request, State},
    http::HeaderMap,
};
use berth_image::{HELLO, ImportRequest, PullRequest};
use berth_spec::{Platform, Reference, progress::Progress};

use super::progress;
use crate::{Engine, Error, body, failure::Answer, query::Query, registry};

/// The program that the embedded image is made of.
const SELF: &str = "/proc/self/exe";
pub async fn create(State(engine): State<Arc<Engine>>, query: Query, request: Request) -> Answer {
    if let Some(name) = query.get("fromImage") {
        return pull(&engine, name, &query, request.headers()).await;
    }
    match query.required("fromSrc")? {
        "-" => {}
        _ => return Err(Error::NotBuilt("image import from a URL").into()),
    }
    let wanted = ImportRequest {
        repository: query.text("repo").unwrap_or_default(),
        tag: query.text("tag").unwrap_or_default(),
        message: query.text("message").unwrap_or_else(|| "Imported from -".to_owned()),
        changes: query.all("changes"),
        platform: query.text("platform").unwrap_or_default(),
    };
    let (images, archive) = (engine.images.clone(), body::stream(request.into_body()));
    progress::run(|lines| async move { images.import(wanted, archive, Some(lines)).await }).await
}

async fn pull(engine: &Engine, name: &str, query: &Query, headers: &HeaderMap) -> Answer {
    let whole = match query.get("tag") {
        None => name.to_owned(),
        Some(digest) if digest.contains(':') => format!("{name}@{digest}"),
        Some(tag) => format!("{name}:{tag}"),
    };
    let reference = Reference::parse(&whole).map_err(|error| Error::Invalid(error.to_string()))?;
    if reference.clone().with_default_tag().familiar() == HELLO {
        return hello(engine).await;
    }
    let platform = query.get("platform").map(Platform::parse).transpose();
    // Docker's API: a name alone means all its tags; its clients say `latest` themselves.
    let is_all = reference.tag().is_none() && reference.digest().is_none();
    let wanted = PullRequest {
        reference,
        platform: platform.map_err(|error| Error::Invalid(error.to_string()))?,
        credentials: registry::credentials(headers)?,
        policy: registry::policy(engine),
    };
    let images = engine.images.clone();
    if is_all {
        return progress::run(|lines| async move { images.pull_all(wanted, Some(lines)).await }).await;
    }
    progress::run(|lines| async move { images.pull(wanted, Some(lines)).await }).await
}

async fn hello(engine: &Engine) -> Answer {
    let images = engine.images.clone();
    progress::run(|lines| async move {
        let id = images.ensure_hello(Path::new(SELF)).await?;
        let status = Some(format!("Status: {HELLO} made from this program as {id}"));
        let _ = lines.send(Progress { status, ..Progress::default() }).await;
        Ok(())
    })
    .await
}
