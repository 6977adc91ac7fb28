//! `GET` and `PUT /berth/manifests/{name}`: manifests and indexes as they are, for the client's `manifest` commands.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};

use super::{credentials, parse, policy};
use crate::{Engine, Error, failure::Answer, name::Name, stream};

/// Longest manifest in bytes (OCI distribution specification: registries should take 4 MiB).
const BYTES_MAX: usize = 4 << 20;
const DIGEST: &str = "docker-content-digest";

pub async fn get(State(engine): State<Arc<Engine>>, Name(name): Name, headers: HeaderMap) -> Answer {
    let reference = parse(&name)?.with_default_tag();
    let repository = engine.images.remote().repository(&reference, &policy(&engine), credentials(&headers)?)?;
    let target = reference.digest().map_or(reference.tag().unwrap_or_default(), |digest| digest.as_str());
    let document = repository.manifest(target).await?;
    let invalid = |_| Error::Invalid("the registry names a type that is no text".to_owned());
    let kind = HeaderValue::from_str(&document.media_type).map_err(invalid)?;
    let digest = HeaderValue::from_str(document.digest.as_str()).map_err(invalid)?;
    let mut response = Response::new(Body::from(document.bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(DIGEST, digest);
    Ok(response)
}

pub async fn put(State(engine): State<Arc<Engine>>, Name(name): Name, headers: HeaderMap, request: Request) -> Answer {
    let reference = parse(&name)?.with_default_tag();
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    let repository = engine.images.remote().writable(&reference, &policy(&engine), credentials(&headers)?)?;
    let bytes = to_bytes(request.into_body(), BYTES_MAX).await.map_err(|_| Error::BodyTooLarge(BYTES_MAX))?;
    let target = reference.digest().map_or(reference.tag().unwrap_or_default(), |digest| digest.as_str());
    let digest = repository.put_manifest(target, &kind, bytes).await?;
    stream::json(&serde_json::json!({ "Digest": digest }))
}
