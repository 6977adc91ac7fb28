//! Manifests: pull, push, delete (end-3, end-7, end-9).

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{StatusCode, body::Incoming, header};

use super::{Answer, Context, reply, send};
use crate::{
    digest::{Algorithm, Digest},
    fault::{Fault, Outcome},
    ledger::manifest::{self, Push, Stored, Unfit},
    manifest::parse,
    metric,
    name::is_tag,
    serve::payload::Payload,
};

/// Tags of one push.
const TAGS_MAX: usize = 100;

/// The manifest with a digest.
pub async fn by_digest(context: &Context<'_>, name: &str, digest: &Digest) -> Outcome<Answer> {
    let registry = context.registry;
    let found = registry.depot.ledger.read("look for a manifest", |c| manifest::by_digest(c, name, digest))?;
    match (found, &registry.mirror) {
        (Some(stored), _) => show(context, stored),
        (None, Some(mirror)) if mirror.has(name) => show(context, mirror.manifest(context, name, digest).await?),
        (None, _) => Err(Fault::manifest_unknown()),
    }
}

/// The manifest that a tag points at.
pub async fn by_tag(context: &Context<'_>, name: &str, tag: &str) -> Outcome<Answer> {
    let registry = context.registry;
    if let Some(mirror) = registry.mirror.as_ref().filter(|mirror| mirror.has(name)) {
        return show(context, mirror.tag(context, name, tag).await?);
    }
    let found = registry.depot.ledger.read("look for a tag", |c| manifest::by_tag(c, name, tag))?;
    show(context, found.ok_or_else(Fault::manifest_unknown)?)
}

fn show(context: &Context<'_>, stored: Stored) -> Outcome<Answer> {
    let tag = format!("\"{}\"", stored.digest);
    let builder = reply(StatusCode::OK).header("Docker-Content-Digest", &stored.digest).header(header::ETAG, &tag);
    if context.header(header::IF_NONE_MATCH).is_some_and(|known| known == tag) {
        return send(builder.status(StatusCode::NOT_MODIFIED), Payload::empty());
    }
    let builder =
        builder.header(header::CONTENT_TYPE, stored.media_type).header(header::CONTENT_LENGTH, stored.bytes.len());
    if context.is_head() {
        return send(builder, Payload::empty());
    }
    metric::add(&context.registry.metrics.sent_bytes, stored.bytes.len() as u64);
    send(builder, Payload::bytes(stored.bytes))
}

/// Stores a manifest under its digest, and under tags.
pub async fn put(
    context: &Context<'_>,
    name: &str,
    digest: Option<&Digest>,
    tag: Option<&str>,
    body: Incoming,
) -> Outcome<Answer> {
    let limits = context.registry.settings.limits;
    let bytes = match Limited::new(body, limits.manifest_bytes).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(Fault::too_large("MANIFEST_INVALID", limits.manifest_bytes as u64));
        }
        Err(error) => return Err(Fault::manifest_invalid(error.to_string())),
    };
    metric::add(&context.registry.metrics.received_bytes, bytes.len() as u64);
    let read = parse(&bytes, context.header(header::CONTENT_TYPE));
    let read = read.map_err(|error| Fault::manifest_invalid(error.to_string()))?;
    let found = Digest::of(digest.map_or(Algorithm::Sha256, Digest::algorithm), &bytes);
    if digest.is_some_and(|digest| *digest != found) {
        return Err(Fault::digest_invalid());
    }
    let tags = tags(context, tag)?;
    let subject = read.subject.clone();
    let push = Push {
        name: name.to_owned(),
        digest: found.clone(),
        manifest: read,
        bytes: bytes.to_vec(),
        tags: tags.clone(),
        tags_max: limits.tags,
        repositories_max: limits.repositories,
        is_sparse: false,
    };
    let ledger = &context.registry.depot.ledger;
    ledger.write("push a manifest", move |c| manifest::push(c, &push)).await?.map_err(unfit)?;
    crate::step::step("manifest pushed");
    let mut builder = reply(StatusCode::CREATED)
        .header(header::LOCATION, format!("/v2/{name}/manifests/{found}"))
        .header("Docker-Content-Digest", found.as_str())
        .header(header::CONTENT_LENGTH, 0);
    if let Some(subject) = subject {
        builder = builder.header("OCI-Subject", subject.as_str());
    }
    if tag.is_none() {
        builder = tags.iter().fold(builder, |builder, tag| builder.header("OCI-Tag", tag));
    }
    send(builder, Payload::empty())
}

fn tags(context: &Context<'_>, tag: Option<&str>) -> Outcome<Vec<String>> {
    let given = context.query.iter().filter(|(name, _)| name == "tag" && tag.is_none()).map(|(_, tag)| tag.as_str());
    let tags: Vec<String> = tag.into_iter().chain(given).map(str::to_owned).collect();
    if tags.len() > TAGS_MAX {
        return Err(Fault::new(StatusCode::URI_TOO_LONG, "UNSUPPORTED", "too many tags at once"));
    }
    if tags.iter().any(|tag| !is_tag(tag)) {
        return Err(Fault::manifest_invalid("a tag is invalid"));
    }
    Ok(tags)
}

/// What is wrong with a manifest, as a fault.
pub fn unfit(unfit: Unfit) -> Fault {
    match unfit {
        Unfit::Unknown(digest) => {
            let message = format!("{digest} is unknown to this repository");
            Fault::new(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN", message)
        }
        Unfit::Size(digest) => Fault::manifest_invalid(format!("{digest} has another size than its descriptor says")),
        Unfit::Tags => Fault { message: "the repository has as many tags as it may".to_owned(), ..Fault::denied() },
        Unfit::Repositories => {
            Fault { message: "there are as many repositories as there may be".to_owned(), ..Fault::denied() }
        }
    }
}

fn accepted() -> Outcome<Answer> {
    send(reply(StatusCode::ACCEPTED).header(header::CONTENT_LENGTH, 0), Payload::empty())
}

/// Removes a manifest and the tags that point at it.
pub async fn delete(context: &Context<'_>, name: &str, digest: &Digest) -> Outcome<Answer> {
    let (name, digest) = (name.to_owned(), digest.clone());
    let ledger = &context.registry.depot.ledger;
    let is_gone = ledger.write("delete a manifest", move |c| manifest::remove(c, &name, &digest)).await?;
    if is_gone { accepted() } else { Err(Fault::manifest_unknown()) }
}

/// Removes a tag; what it points at stays.
pub async fn untag(context: &Context<'_>, name: &str, tag: &str) -> Outcome<Answer> {
    let (name, tag) = (name.to_owned(), tag.to_owned());
    let ledger = &context.registry.depot.ledger;
    let is_gone = ledger.write("delete a tag", move |c| manifest::untag(c, &name, &tag)).await?;
    if is_gone { accepted() } else { Err(Fault::manifest_unknown()) }
}
