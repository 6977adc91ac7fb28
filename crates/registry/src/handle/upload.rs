//! Pushing blobs (end-4 to end-6, end-11, end-13, end-14).

use std::sync::Arc;

use hyper::{StatusCode, body::Incoming, header};

use super::{Answer, Context, reply, send};
use crate::{
    access::role::Action,
    digest::{Algorithm, Digest},
    fault::{Fault, Outcome},
    ledger::blob,
    metric,
    range::chunk,
    serve::payload::Payload,
    upload::{Refused, Upload},
};

/// Repositories that are looked through for a blob to mount.
const HOLDERS_MAX: usize = 1000;

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", "the blob is too large"),
            Refused::Broken(reason) => Self::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", reason),
            Refused::Length => {
                Self::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", "provided length did not match content length")
            }
            Refused::Own(error) => error.into(),
        }
    }
}

/// Begins an upload, mounts a blob, or takes a whole one.
pub async fn begin(context: &Context<'_>, name: &str, body: Incoming) -> Outcome<Answer> {
    if let Some(text) = context.parameter("mount")
        && let Ok(digest) = Digest::parse(text)
        && mount(context, name, &digest).await?
    {
        return created(name, &digest);
    }
    let algorithm = match context.parameter("digest-algorithm") {
        Some(text) => Algorithm::parse(text).ok_or_else(Fault::digest_invalid)?,
        None => Algorithm::Sha256,
    };
    let digest = context.parameter("digest").map(Digest::parse).transpose().map_err(|_| Fault::digest_invalid())?;
    let algorithm = digest.as_ref().map_or(algorithm, Digest::algorithm);
    let upload = context.registry.uploads.begin(name, algorithm)?.ok_or_else(Fault::too_many)?;
    match digest {
        Some(digest) => complete(context, name, &upload, &digest, body).await,
        None => progress(StatusCode::ACCEPTED, name, &upload),
    }
}

/// Makes a blob of another repository one of this; the asker must be allowed to read it there.
async fn mount(context: &Context<'_>, name: &str, digest: &Digest) -> Outcome<bool> {
    let registry = context.registry;
    let ledger = &registry.depot.ledger;
    let is_readable = match context.parameter("from") {
        Some(from) => {
            crate::name::is_repository(from)
                && context.identity.may(from, Action::Pull)
                && ledger.read("look for a blob", |c| blob::link(c, from, digest))?.is_some()
        }
        None => ledger
            .read("look for a blob", |c| blob::holders(c, digest, HOLDERS_MAX))?
            .iter()
            .any(|holder| context.identity.may(holder, Action::Pull)),
    };
    Ok(is_readable && registry.depot.mount(name, digest).await?)
}

fn find(context: &Context<'_>, name: &str, id: &str) -> Outcome<Arc<Upload>> {
    context.registry.uploads.find(name, id).ok_or_else(Fault::upload_unknown)
}

fn location(name: &str, upload: &Upload) -> String {
    format!("/v2/{name}/blobs/uploads/{}", upload.id)
}

fn progress(status: StatusCode, name: &str, upload: &Upload) -> Outcome<Answer> {
    let builder = reply(status)
        .header(header::LOCATION, location(name, upload))
        .header(header::RANGE, format!("0-{}", upload.size().saturating_sub(1)))
        .header("Docker-Upload-UUID", &upload.id);
    let builder = if status == StatusCode::NO_CONTENT { builder } else { builder.header(header::CONTENT_LENGTH, 0) };
    send(builder, Payload::empty())
}

/// How far an upload is.
pub fn status(context: &Context<'_>, name: &str, id: &str) -> Outcome<Answer> {
    progress(StatusCode::NO_CONTENT, name, &*find(context, name, id)?)
}

/// Takes a chunk.
pub async fn patch(context: &Context<'_>, name: &str, id: &str, body: Incoming) -> Outcome<Answer> {
    let upload = find(context, name, id)?;
    let turn = upload.turn.lock().await;
    in_order(context, name, &upload)?;
    append(context, &upload, body).await?;
    drop(turn);
    progress(StatusCode::ACCEPTED, name, &upload)
}

/// Whether a chunk begins where the upload ends.
fn in_order(context: &Context<'_>, name: &str, upload: &Upload) -> Outcome<()> {
    let Some(text) = context.header(header::CONTENT_RANGE) else { return Ok(()) };
    let out_of_order = || {
        Fault::range()
            .header("Location", &location(name, upload))
            .header("Range", &format!("0-{}", upload.size().saturating_sub(1)))
    };
    let (first, last) = chunk(text).ok_or_else(out_of_order)?;
    if first != upload.size() {
        return Err(out_of_order());
    }
    if announced(context).is_some_and(|length| length != last - first + 1) {
        return Err(Refused::Length.into());
    }
    Ok(())
}

fn announced(context: &Context<'_>) -> Option<u64> {
    context.header(header::CONTENT_LENGTH)?.parse().ok()
}

async fn append(context: &Context<'_>, upload: &Upload, body: Incoming) -> Outcome<()> {
    let registry = context.registry;
    let max = registry.settings.limits.blob_bytes;
    let length = announced(context);
    if length.is_some_and(|length| upload.size().saturating_add(length) > max) {
        registry.uploads.remove(upload);
        return Err(Refused::TooLarge.into());
    }
    match upload.append(body, length, max).await {
        Ok(taken) => {
            metric::add(&registry.metrics.received_bytes, taken);
            Ok(())
        }
        Err(refused) => {
            if matches!(refused, Refused::TooLarge) {
                registry.uploads.remove(upload);
            }
            Err(refused.into())
        }
    }
}

/// Takes the last chunk, if any, and makes the whole a blob.
pub async fn finish(context: &Context<'_>, name: &str, id: &str, body: Incoming) -> Outcome<Answer> {
    let upload = find(context, name, id)?;
    let digest = context.parameter("digest").ok_or_else(Fault::digest_invalid)?;
    let digest = Digest::parse(digest).map_err(|_| Fault::digest_invalid())?;
    complete(context, name, &upload, &digest, body).await
}

async fn complete(
    context: &Context<'_>,
    name: &str,
    upload: &Upload,
    digest: &Digest,
    body: Incoming,
) -> Outcome<Answer> {
    let registry = context.registry;
    let _turn = upload.turn.lock().await;
    in_order(context, name, upload)?;
    append(context, upload, body).await?;
    let found = upload.digest(digest.algorithm()).await?;
    if found != *digest {
        registry.uploads.remove(upload);
        return Err(Fault::digest_invalid());
    }
    repository_fits(context, name)?;
    registry.depot.keep(name, &upload.path(), digest, upload.size()).await?;
    registry.uploads.remove(upload);
    created(name, digest)
}

/// Whether another repository may come into being.
fn repository_fits(context: &Context<'_>, name: &str) -> Outcome<()> {
    let max = context.registry.settings.limits.repositories;
    let fits = context
        .registry
        .depot
        .ledger
        .read("count repositories", |c| Ok(blob::repository(c, name)?.is_some() || blob::repositories(c)? < max))?;
    let message = "there are as many repositories as there may be".to_owned();
    if fits { Ok(()) } else { Err(Fault { message, ..Fault::denied() }) }
}

fn created(name: &str, digest: &Digest) -> Outcome<Answer> {
    let builder = reply(StatusCode::CREATED)
        .header(header::LOCATION, format!("/v2/{name}/blobs/{digest}"))
        .header("Docker-Content-Digest", digest.as_str())
        .header(header::CONTENT_LENGTH, 0);
    send(builder, Payload::empty())
}

/// Ends an upload without a blob.
pub async fn cancel(context: &Context<'_>, name: &str, id: &str) -> Outcome<Answer> {
    let upload = find(context, name, id)?;
    let _turn = upload.turn.lock().await;
    context.registry.uploads.remove(&upload);
    send(reply(StatusCode::NO_CONTENT), Payload::empty())
}
