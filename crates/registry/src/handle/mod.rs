//! Requests: who asks for what, and the way to the handler.

pub mod blob;
pub mod list;
pub mod manifest;
pub mod token;
pub mod upload;

use std::{net::IpAddr, sync::Arc, time::Instant};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    body::Incoming,
    header::{self, HeaderValue},
    http::{request::Parts, response::Builder},
};

use crate::{
    access::role::{Action, Identity},
    audit,
    fault::{Fault, Outcome},
    ledger::list::sums,
    metric,
    registry::Registry,
    route::{self, Part, Route, Unrouted},
    serve::{lane::Lane, payload::Payload},
};

/// An answer.
pub type Answer = Response<Payload>;
/// Longest query that is read, in bytes: a manifest may come with many tags.
const QUERY_BYTES_MAX: usize = 16 * 1024;

/// Who is at the other end of a connection.
#[derive(Debug)]
pub struct Peer {
    /// Where from.
    pub address: IpAddr,
    /// Where the connection arrived, for URLs when the client names no host.
    pub local: String,
    /// Whether it is encrypted.
    pub is_tls: bool,
    /// For files, on plain connections.
    pub lane: Option<Arc<Lane>>,
}

/// A request on its way to a handler.
pub struct Context<'r> {
    /// Everything.
    pub registry: &'r Arc<Registry>,
    /// Who is at the other end.
    pub peer: &'r Peer,
    /// Who asks.
    pub identity: Identity,
    /// Method and headers.
    pub head: &'r Parts,
    /// Parameters, decoded.
    pub query: Vec<(String, String)>,
}

impl Context<'_> {
    /// A parameter.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A header.
    #[must_use]
    pub fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether only the headers are wanted.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.head.method == Method::HEAD
    }

    /// The connection's lane, where this request may use it: HTTP/2 would copy its pieces.
    #[must_use]
    pub fn lane(&self) -> Option<&Arc<Lane>> {
        self.peer.lane.as_ref().filter(|_| self.head.version < Version::HTTP_2)
    }
}

/// An answer's beginning.
#[must_use]
pub fn reply(status: StatusCode) -> Builder {
    Response::builder().status(status).header("Docker-Distribution-API-Version", "registry/2.0")
}

/// The answer with its body.
///
/// # Errors
/// 500 for a header that cannot be one, which no checked name makes.
pub fn send(builder: Builder, payload: Payload) -> Outcome<Answer> {
    builder.body(payload).map_err(|error| Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", error.to_string()))
}

/// Answers a request. Nothing that goes wrong is more than an answer.
pub async fn answer(registry: &Arc<Registry>, peer: &Peer, request: Request<Incoming>) -> Answer {
    let begin = Instant::now();
    let (head, body) = request.into_parts();
    let route = namespaced(registry, &head, route::parse(head.uri.path()));
    let mut account = None;
    let outcome = serve(registry, peer, &head, body, route.as_ref(), &mut account).await;
    let answer = outcome.unwrap_or_else(|fault| refusal(&fault, &head));
    let action = word(route.as_ref().ok(), &head.method);
    registry.metrics.request(action, answer.status().as_u16(), begin.elapsed());
    if let Some(log) = &registry.audit {
        let (repository, reference) = named(route.as_ref().ok());
        log.write(&audit::Entry {
            time: jiff::Timestamp::now().to_string(),
            address: peer.address,
            account: account.as_deref(),
            action,
            repository,
            reference,
            method: head.method.as_str(),
            status: answer.status().as_u16(),
            took_ms: u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX),
            agent: head.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()),
        });
    }
    answer
}

/// The repository that is meant when a client names the mirrored registry in the parameter `ns`.
fn namespaced(registry: &Registry, head: &Parts, route: Result<Route, Unrouted>) -> Result<Route, Unrouted> {
    let (Some(mirror), Ok(Route::Repository(name, part))) = (&registry.mirror, &route) else { return route };
    let query: Vec<(String, String)> =
        serde_urlencoded::from_str(head.uri.query().unwrap_or_default()).unwrap_or_default();
    let host = query.iter().find(|(name, _)| name == "ns").map_or("", |(_, host)| host);
    match mirror.namespace(host) {
        Some(prefix) => Ok(Route::Repository(format!("{prefix}/{name}"), part.clone())),
        None => route,
    }
}

fn refusal(fault: &Fault, head: &Parts) -> Answer {
    let body = if head.method == Method::HEAD { Vec::new() } else { fault.body() };
    let builder = reply(fault.status).header(header::CONTENT_TYPE, "application/json");
    let mut answer = send(builder, Payload::bytes(body)).unwrap_or_else(|_| Response::new(Payload::empty()));
    answer.headers_mut().extend(fault.headers.clone());
    // A body that nobody read would be taken for the next request.
    if head.headers.contains_key(header::CONTENT_LENGTH) || head.headers.contains_key(header::TRANSFER_ENCODING) {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if head.version >= Version::HTTP_2 {
        answer.headers_mut().remove(header::CONNECTION);
    }
    answer
}

async fn serve(
    registry: &Arc<Registry>,
    peer: &Peer,
    head: &Parts,
    body: Incoming,
    route: Result<&Route, &Unrouted>,
    account: &mut Option<String>,
) -> Outcome<Answer> {
    let slow = |wait: u64| {
        metric::add(&registry.metrics.limited, 1);
        Fault::too_many().header("Retry-After", &wait.to_string())
    };
    registry.requests.take(peer.address).map_err(slow)?;
    let query = head.uri.query().unwrap_or_default();
    if query.len() > QUERY_BYTES_MAX {
        return Err(Fault::new(StatusCode::URI_TOO_LONG, "UNSUPPORTED", "the query is too long"));
    }
    let query = serde_urlencoded::from_str(query)
        .map_err(|_| Fault::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", "the query cannot be read"))?;
    if matches!(route, Ok(Route::Token)) {
        return token::answer(registry, peer, head, query, body, account).await;
    }
    let is_metrics = matches!(route, Ok(Route::Metrics));
    let wanted = wanted(route.ok(), &head.method);
    let identity = match registry.access.identify(&head.headers, peer.address).await {
        Ok(identity) => identity,
        Err(fault) if fault.status == StatusCode::UNAUTHORIZED => {
            metric::add(&registry.metrics.failures, 1);
            return Err(challenged(registry, peer, &head.headers, wanted));
        }
        Err(fault) => return Err(fault),
    };
    account.clone_from(&identity.account);
    let route = match route {
        Ok(route) => route,
        Err(Unrouted::Name) => return Err(Fault::name_invalid()),
        Err(Unrouted::Digest) => return Err(Fault::digest_invalid()),
        Err(Unrouted::Reference) => return Err(Fault::manifest_invalid("neither a tag nor a digest")),
        Err(Unrouted::NotFound) => return Err(Fault::not_found()),
    };
    let allowed = match (route, wanted) {
        (_, Some((name, action))) => identity.may(name, action),
        _ if is_metrics => identity.is_admin(),
        // Whoever is nobody is asked to say who they are: that is how clients log in.
        _ => identity.account.is_some() || identity.is_admin(),
    };
    if !allowed {
        let whole = Identity { narrowed: None, ..identity.clone() };
        let has_narrow_token = wanted.is_some_and(|(name, action)| whole.may(name, action));
        let is_known = identity.account.is_some();
        return Err(if is_known && !has_narrow_token {
            Fault::denied()
        } else {
            challenged(registry, peer, &head.headers, wanted)
        });
    }
    let context = Context { registry, peer, identity, head, query };
    dispatch(&context, route, body).await
}

async fn dispatch(context: &Context<'_>, route: &Route, body: Incoming) -> Outcome<Answer> {
    let method = context.head.method.as_str();
    let (name, part) = match route {
        Route::Repository(name, part) => (name.as_str(), part),
        Route::Base if matches!(method, "GET" | "HEAD") => {
            let builder = reply(StatusCode::OK).header(header::CONTENT_TYPE, "application/json");
            return send(builder, Payload::bytes(&b"{}"[..]));
        }
        Route::Catalog if method == "GET" => return list::catalog(context),
        Route::Metrics if method == "GET" => return metrics(context),
        Route::Base | Route::Catalog | Route::Metrics | Route::Token => return Err(Fault::unsupported()),
    };
    let is_change = !matches!(method, "GET" | "HEAD");
    if is_change && context.registry.mirror.as_ref().is_some_and(|mirror| mirror.has(name)) {
        return Err(Fault { message: "mirrored repositories are read only".to_owned(), ..Fault::unsupported() });
    }
    if method == "DELETE" && !matches!(part, Part::Upload(_)) && !context.registry.settings.is_delete_allowed {
        return Err(Fault::unsupported());
    }
    match (part, method) {
        (Part::Blob(digest), "GET" | "HEAD") => blob::get(context, name, digest).await,
        (Part::Blob(digest), "DELETE") => blob::delete(context, name, digest).await,
        (Part::Uploads, "POST") => upload::begin(context, name, body).await,
        (Part::Upload(id), "GET" | "HEAD") => upload::status(context, name, id),
        (Part::Upload(id), "PATCH") => upload::patch(context, name, id, body).await,
        (Part::Upload(id), "PUT") => upload::finish(context, name, id, body).await,
        (Part::Upload(id), "DELETE") => upload::cancel(context, name, id).await,
        (Part::Manifest(digest), "GET" | "HEAD") => manifest::by_digest(context, name, digest).await,
        (Part::Tag(tag), "GET" | "HEAD") => manifest::by_tag(context, name, tag).await,
        (Part::Manifest(digest), "PUT") => manifest::put(context, name, Some(digest), None, body).await,
        (Part::Tag(tag), "PUT") => manifest::put(context, name, None, Some(tag), body).await,
        (Part::Manifest(digest), "DELETE") => manifest::delete(context, name, digest).await,
        (Part::Tag(tag), "DELETE") => manifest::untag(context, name, tag).await,
        (Part::Tags, "GET") => list::tags(context, name).await,
        (Part::Referrers(digest), "GET") => list::referrers(context, name, digest).await,
        _ => Err(Fault::unsupported()),
    }
}

fn metrics(context: &Context<'_>) -> Outcome<Answer> {
    let registry = context.registry;
    let sums = registry.depot.ledger.read("count", sums)?;
    let text = registry.metrics.text(&sums, registry.uploads.count() as u64, registry.open_connections());
    let builder = reply(StatusCode::OK).header(header::CONTENT_TYPE, "text/plain; version=0.0.4");
    send(builder, Payload::bytes(text))
}

/// What a request wants to do, and where.
fn wanted<'w>(route: Option<&'w Route>, method: &Method) -> Option<(&'w str, Action)> {
    let Some(Route::Repository(name, part)) = route else { return None };
    let action = match (part, method.as_str()) {
        (Part::Uploads | Part::Upload(_), _) => Action::Push,
        (_, "GET" | "HEAD") => Action::Pull,
        (_, "DELETE") => Action::Delete,
        _ => Action::Push,
    };
    Some((name, action))
}

fn word(route: Option<&Route>, method: &Method) -> &'static str {
    match route {
        Some(Route::Base) => "base",
        Some(Route::Catalog) => "catalog",
        Some(Route::Token) => "token",
        Some(Route::Metrics) => "metrics",
        _ => wanted(route, method).map_or("other", |(_, action)| action.as_str()),
    }
}

fn named(route: Option<&Route>) -> (Option<&str>, Option<String>) {
    let Some(Route::Repository(name, part)) = route else { return (None, None) };
    let reference = match part {
        Part::Blob(digest) | Part::Manifest(digest) | Part::Referrers(digest) => Some(digest.to_string()),
        Part::Upload(text) | Part::Tag(text) => Some(text.clone()),
        Part::Uploads | Part::Tags => None,
    };
    (Some(name), reference)
}

/// 401 with the way to prove who one is.
fn challenged(registry: &Registry, peer: &Peer, headers: &HeaderMap, wanted: Option<(&str, Action)>) -> Fault {
    let challenge = registry.access.challenge(&base(registry, peer, headers), wanted);
    Fault::unauthorized().header("WWW-Authenticate", &challenge)
}

/// The registry's URL as the client sees it.
fn base(registry: &Registry, peer: &Peer, headers: &HeaderMap) -> String {
    if let Some(url) = &registry.settings.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let is_host = |host: &&str| {
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:-[]_".contains(&byte))
    };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).filter(is_host).unwrap_or(&peer.local);
    format!("{}://{host}", if peer.is_tls { "https" } else { "http" })
}
