//! `POST /images/create`: import from the body. Pulling is not built yet, but for the image that is part of berth.

use std::{path::Path, sync::Arc};

use axum::extract::{Request, State};
use berth_image::{HELLO, ImportRequest};
use berth_spec::{Reference, progress::Progress};

use super::progress;
use crate::{Engine, Error, body, failure::Answer, query::Query};

/// The program that the embedded image is made of.
const SELF: &str = "/proc/self/exe";

pub async fn create(State(engine): State<Arc<Engine>>, query: Query, request: Request) -> Answer {
    if let Some(name) = query.get("fromImage") {
        return pull(&engine, name, query.get("tag").unwrap_or_default()).await;
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

async fn pull(engine: &Engine, name: &str, tag: &str) -> Answer {
    let whole = if tag.is_empty() { name.to_owned() } else { format!("{name}:{tag}") };
    let reference = Reference::parse(&whole).map_err(|error| Error::Invalid(error.to_string()))?;
    if reference.familiar() != HELLO && format!("{}:latest", reference.familiar()) != HELLO {
        return Err(Error::NotBuilt("image pull").into());
    }
    let images = engine.images.clone();
    progress::run(|lines| async move {
        let id = images.ensure_hello(Path::new(SELF)).await?;
        let status = Some(format!("Status: {HELLO} made from this program as {id}"));
        let _ = lines.send(Progress { status, ..Progress::default() }).await;
        Ok(())
    })
    .await
}
