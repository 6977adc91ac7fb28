//! Lists, in pages: tags, referrers, repositories (end-8, end-12; Docker's `_catalog`).

use hyper::{StatusCode, header};
use serde_json::json;

use berth_spec::image::OCI_INDEX;

use super::{Answer, Context, reply, send};
use crate::{
    access::role::Action,
    digest::Digest,
    fault::{Fault, Outcome},
    ledger::{list, manifest},
    manifest::Referrer,
    metric,
    serve::payload::Payload,
};

/// Bytes of an answer's list of referrers, about; the rest comes in another page.
const REFERRERS_BYTES: usize = 3 << 20;
/// Rows read at once while a page of the catalogue is filtered.
const CATALOG_ROWS: usize = 1000;

/// How many entries are wanted, and after which.
fn page<'c>(context: &'c Context<'_>) -> Outcome<(Option<usize>, &'c str)> {
    let count = match context.parameter("n") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| Fault::page("n is no number"))?),
    };
    Ok((count, context.parameter("last").unwrap_or_default()))
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(pairs).unwrap_or_default()
}

/// Tags of a repository.
pub async fn tags(context: &Context<'_>, name: &str) -> Outcome<Answer> {
    let (count, last) = page(context)?;
    let registry = context.registry;
    // Without a number everything is asked for; it comes whole as far as a page may go.
    let limit = count.unwrap_or(usize::MAX).min(registry.settings.limits.page.max(1));
    let upstream = match registry.mirror.as_ref().filter(|mirror| mirror.has(name)) {
        Some(mirror) => mirror.tags(registry, name, last, limit.saturating_add(1)).await?,
        None => None,
    };
    let mut tags = match upstream {
        Some(tags) => tags,
        None => registry
            .depot
            .ledger
            .read("list tags", |c| list::tags(c, name, last, limit.saturating_add(1)))?
            .ok_or_else(Fault::name_unknown)?,
    };
    let is_more = tags.len() > limit && limit > 0;
    tags.truncate(limit);
    let mut builder = reply(StatusCode::OK).header(header::CONTENT_TYPE, "application/json");
    if let Some(last) = tags.last().filter(|_| is_more) {
        let query = encoded(&[("n", &limit.to_string()), ("last", last)]);
        builder = builder.header(header::LINK, format!("</v2/{name}/tags/list?{query}>; rel=\"next\""));
    }
    send(builder, Payload::bytes(json!({"name": name, "tags": tags}).to_string()))
}

/// Manifests whose subject is the digest.
pub async fn referrers(context: &Context<'_>, name: &str, digest: &Digest) -> Outcome<Answer> {
    let (count, last) = page(context)?;
    let registry = context.registry;
    if let Some(mirror) = registry.mirror.as_ref().filter(|mirror| mirror.has(name)) {
        mirror.referrers(context, name, digest).await?;
    }
    let limit = count.unwrap_or(usize::MAX).min(registry.settings.limits.page.max(1));
    let kind = context.parameter("artifactType").filter(|kind| !kind.is_empty());
    let found = registry
        .depot
        .ledger
        .read("list referrers", |c| manifest::referrers(c, name, digest, kind, last, limit.saturating_add(1)))?;
    let mut bytes = 0;
    let fits = |referrer: &&Referrer| {
        let size = serde_json::to_vec(referrer).map_or(0, |text| text.len());
        bytes += size;
        bytes == size || bytes <= REFERRERS_BYTES
    };
    let shown: Vec<_> = found.iter().take(limit).take_while(fits).collect();
    let mut builder = reply(StatusCode::OK).header(header::CONTENT_TYPE, OCI_INDEX);
    if kind.is_some() {
        builder = builder.header("OCI-Filters-Applied", "artifactType");
    }
    if let Some(last) = shown.last().filter(|_| shown.len() < found.len()) {
        let mut pairs = vec![("last", last.digest.as_str())];
        let number = count.map(|count| count.to_string());
        pairs.extend(number.as_deref().map(|number| ("n", number)));
        pairs.extend(kind.map(|kind| ("artifactType", kind)));
        let link = format!("</v2/{name}/referrers/{digest}?{}>; rel=\"next\"", encoded(&pairs));
        builder = builder.header(header::LINK, link);
    }
    let body = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": shown});
    send(builder, Payload::bytes(body.to_string()))
}

/// The repositories that the asker may read.
pub fn catalog(context: &Context<'_>) -> Outcome<Answer> {
    let registry = context.registry;
    registry.catalogs.take(context.peer.address).map_err(|wait| {
        metric::add(&registry.metrics.limited, 1);
        Fault::too_many().header("Retry-After", &wait.to_string())
    })?;
    let (count, start) = page(context)?;
    let limit = count.unwrap_or(100).min(registry.settings.limits.page.max(1));
    let (mut names, mut last) = (Vec::new(), start.to_owned());
    let is_more = loop {
        let rows = registry.depot.ledger.read("list repositories", |c| list::repositories(c, &last, CATALOG_ROWS))?;
        let Some(end) = rows.last().cloned() else { break false };
        names.extend(rows.into_iter().filter(|name| context.identity.may(name, Action::Pull)));
        if names.len() > limit {
            break true;
        }
        last = end;
    };
    names.truncate(limit);
    let mut builder = reply(StatusCode::OK).header(header::CONTENT_TYPE, "application/json");
    if let Some(last) = names.last().filter(|_| is_more) {
        let query = encoded(&[("n", &limit.to_string()), ("last", last)]);
        builder = builder.header(header::LINK, format!("</v2/_catalog?{query}>; rel=\"next\""));
    }
    send(builder, Payload::bytes(json!({"repositories": names}).to_string()))
}
