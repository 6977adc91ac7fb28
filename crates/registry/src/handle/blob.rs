//! `GET`, `HEAD`, `DELETE` of blobs (end-2, end-10).

use hyper::{StatusCode, header};

use super::{Answer, Context, reply, send};
use crate::{
    digest::Digest,
    fault::{Fault, Outcome},
    ledger::{blob, now},
    metric,
    range::{Wanted, wanted},
    serve::payload::Payload,
    store::Store,
};

/// A blob never changes.
const CACHE: &str = "max-age=31536000";

/// Sends a blob, or a part of it.
pub async fn get(context: &Context<'_>, name: &str, digest: &Digest) -> Outcome<Answer> {
    let registry = context.registry;
    let link = registry.depot.ledger.read("look for a blob", |c| blob::link(c, name, digest))?;
    let Some(link) = link else {
        return match &registry.mirror {
            Some(mirror) if mirror.has(name) => mirror.blob(context, name, digest).await,
            _ => Err(Fault::blob_unknown()),
        };
    };
    lease(context, name, digest, link.touched).await?;
    stored(context, digest, link.size).await
}

/// Whoever asks whether a blob is here may count on it: its lease is renewed before the answer. In a mirror each use
/// counts, for the quota.
async fn lease(context: &Context<'_>, name: &str, digest: &Digest, touched: i64) -> Outcome<()> {
    let registry = context.registry;
    let is_mirrored = registry.mirror.as_ref().is_some_and(|mirror| mirror.has(name));
    let age = now() - touched;
    let grace = i64::try_from(registry.settings.grace.as_secs()).unwrap_or(i64::MAX);
    let is_due = if is_mirrored { age > 60.min(grace / 4) } else { context.is_head() && age > grace / 4 };
    if !is_due {
        return Ok(());
    }
    let (name, digest) = (name.to_owned(), digest.clone());
    let is_there = registry.depot.ledger.write("renew a lease", move |c| blob::touch(c, &name, &digest)).await?;
    if is_there { Ok(()) } else { Err(Fault::blob_unknown()) }
}

/// Sends a blob of the store.
pub async fn stored(context: &Context<'_>, digest: &Digest, size: u64) -> Outcome<Answer> {
    let tag = format!("\"{digest}\"");
    let mut builder = reply(StatusCode::OK)
        .header("Docker-Content-Digest", digest.as_str())
        .header(header::ETAG, &tag)
        .header(header::CACHE_CONTROL, CACHE)
        .header(header::ACCEPT_RANGES, "bytes");
    if context.header(header::IF_NONE_MATCH).is_some_and(|known| known == tag || known == "*") {
        return send(builder.status(StatusCode::NOT_MODIFIED), Payload::empty());
    }
    let range =
        context.header(header::RANGE).filter(|_| context.header(header::IF_RANGE).is_none_or(|known| known == tag));
    let (first, length) = match wanted(range, size) {
        Wanted::Whole => (0, size),
        Wanted::Part(first, last) => {
            builder = builder
                .status(StatusCode::PARTIAL_CONTENT)
                .header(header::CONTENT_RANGE, format!("bytes {first}-{last}/{size}"));
            (first, last - first + 1)
        }
        Wanted::Unsatisfiable => {
            let fault = Fault::new(StatusCode::RANGE_NOT_SATISFIABLE, "UNSUPPORTED", "nothing lies in that range");
            return Err(fault.header("Content-Range", &format!("bytes */{size}")));
        }
    };
    builder = builder.header(header::CONTENT_TYPE, "application/octet-stream").header(header::CONTENT_LENGTH, length);
    if context.is_head() {
        return send(builder, Payload::empty());
    }
    metric::add(&context.registry.metrics.sent_bytes, length);
    let payload = match &*context.registry.depot.store {
        _ if length == 0 => Payload::empty(),
        Store::Files(files) => {
            let file = files.open_blob(digest)?.ok_or_else(|| crate::Error::Missing(digest.clone()))?;
            Payload::file(file, first, length, context.lane())
        }
        Store::Bucket(bucket) => bucket.read(digest, first, length).await?,
    };
    send(builder, payload)
}

/// Takes a blob from a repository.
pub async fn delete(context: &Context<'_>, name: &str, digest: &Digest) -> Outcome<Answer> {
    let (name, digest) = (name.to_owned(), digest.clone());
    let ledger = &context.registry.depot.ledger;
    if !ledger.write("unlink a blob", move |c| blob::unlink(c, &name, &digest)).await? {
        return Err(Fault::blob_unknown());
    }
    send(reply(StatusCode::ACCEPTED).header(header::CONTENT_LENGTH, 0), Payload::empty())
}
