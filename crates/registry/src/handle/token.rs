//! The token endpoint (Docker's "Token Authentication Specification" and "OAuth2 Token Authentication").

use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use hyper::{Method, StatusCode, body::Incoming, header, http::request::Parts};
use serde_json::json;

use super::{Answer, Peer, base, reply, send};
use crate::{
    access::{
        role::Identity,
        token::{LIFE_S, scope},
    },
    fault::{Fault, Outcome},
    metric,
    registry::Registry,
    serve::payload::Payload,
};

const FORM_BYTES_MAX: usize = 64 * 1024;
/// Scopes of one token.
const SCOPES_MAX: usize = 64;

/// Issues a token.
pub async fn answer(
    registry: &Arc<Registry>,
    peer: &Peer,
    head: &Parts,
    query: Vec<(String, String)>,
    body: Incoming,
    account: &mut Option<String>,
) -> Outcome<Answer> {
    let (fields, is_form) = match head.method {
        Method::GET => (query, false),
        Method::POST => (form(body).await?, true),
        _ => return Err(Fault::unsupported()),
    };
    let identity = identity(registry, peer, head, &fields, is_form).await.map_err(|fault| {
        metric::add(&registry.metrics.failures, 1);
        let realm = base(registry, peer, &head.headers);
        fault.header("WWW-Authenticate", &format!("Basic realm=\"{realm}\""))
    })?;
    account.clone_from(&identity.account);
    let named = fields.iter().filter(|(name, _)| name == "scope");
    let scopes = named.flat_map(|(_, text)| text.split(' ')).take(SCOPES_MAX).filter_map(scope).collect::<Vec<_>>();
    let token = registry.access.token(&identity, &scopes)?;
    let mut reply_body = json!({
        "token": token, "access_token": token, "expires_in": LIFE_S, "issued_at": jiff::Timestamp::now().to_string(),
    });
    if is_form {
        reply_body["scope"] = json!(fields.iter().find(|(name, _)| name == "scope").map(|(_, text)| text));
    }
    let builder = reply(StatusCode::OK)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "no-store");
    send(builder, Payload::bytes(reply_body.to_string()))
}

async fn form(body: Incoming) -> Outcome<Vec<(String, String)>> {
    let invalid = || Fault::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", "the form cannot be read");
    let bytes = Limited::new(body, FORM_BYTES_MAX).collect().await.map_err(|_| invalid())?.to_bytes();
    serde_urlencoded::from_bytes(&bytes).map_err(|_| invalid())
}

async fn identity(
    registry: &Registry,
    peer: &Peer,
    head: &Parts,
    fields: &[(String, String)],
    is_form: bool,
) -> Outcome<Identity> {
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    match (is_form, field("grant_type")) {
        (true, Some("password")) if !registry.access.is_open()? => {
            let (name, password) = field("username").zip(field("password")).ok_or_else(Fault::unauthorized)?;
            registry.access.by_password(name, password, peer.address).await
        }
        // Refresh tokens are not issued, so none is right.
        (true, Some("refresh_token")) => Err(Fault::unauthorized()),
        _ => registry.access.identify(&head.headers, peer.address).await,
    }
}
