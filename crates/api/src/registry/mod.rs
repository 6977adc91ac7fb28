//! Operations that speak to registries without touching the images here: search, distribution, manifests, copies.

mod copy;
mod distribution;
mod manifest;
mod search;

use std::{collections::HashMap, path::PathBuf, sync::Arc};

use axum::{
    Router,
    http::HeaderMap,
    routing::{get, post},
};
use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use berth_remote::{Credentials, Policy, Proxies};
use berth_spec::Reference;

use crate::{Engine, Error, Result};

/// Credentials for one registry, as base64url JSON.
const AUTH_HEADER: &str = "x-registry-auth";
/// Credentials by registry, as base64url JSON.
const CONFIG_HEADER: &str = "x-registry-config";
/// Where administrators put the certificates of their own registries, and `hosts.toml`.
const CERTIFICATES: [&str; 2] = ["/etc/berth/certs.d", "/etc/docker/certs.d"];
/// Docker's key of its default registry in configurations.
const DEFAULT_KEY: &str = "https://index.docker.io/v1/";
/// Clients send it with padding and without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Paths and their handlers.
pub fn routes() -> Router<Arc<Engine>> {
    Router::new()
        .route("/images/search", get(search::search))
        .route("/distribution/{*name}", get(distribution::inspect))
        .route("/berth/manifests/{*name}", get(manifest::get).put(manifest::put))
        .route("/berth/images/copy", post(copy::copy))
}

/// How registries may be spoken to, as the settings are now.
pub fn policy(engine: &Engine) -> Policy {
    let settings = engine.settings();
    let mut proxies = Proxies::from_environment();
    let own = |key: &str, value: &mut String| {
        if let Some(set) = settings.proxies.get(key) {
            value.clone_from(set);
        }
    };
    own("http", &mut proxies.http);
    own("https", &mut proxies.https);
    own("no", &mut proxies.none);
    Policy {
        mirrors: settings.registry_mirrors.clone(),
        insecure: settings.insecure_registries.clone(),
        certificates: CERTIFICATES.iter().map(PathBuf::from).collect(),
        proxies,
        realms: settings.token_servers.clone(),
        connections: settings.downloads,
    }
}

/// The credentials that came with a request.
pub fn credentials(headers: &HeaderMap) -> Result<Option<Credentials>> {
    let header = headers.get(AUTH_HEADER).map(|value| value.to_str().unwrap_or("?")).unwrap_or_default();
    Credentials::from_header(header).map_err(|error| Error::Invalid(error.to_string()))
}

/// All credentials that came with a request, by registry.
pub fn all_credentials(headers: &HeaderMap) -> Result<std::collections::BTreeMap<String, Credentials>> {
    let Some(header) = headers.get(CONFIG_HEADER).and_then(|value| value.to_str().ok()).filter(|it| !it.is_empty())
    else {
        return Ok(std::collections::BTreeMap::new());
    };
    let invalid = |reason: String| Error::Header { name: "X-Registry-Config", reason };
    let bytes = LENIENT.decode(header).map_err(|error| invalid(error.to_string()))?;
    let mut all: std::collections::BTreeMap<String, Credentials> =
        serde_json::from_slice(&bytes).map_err(|_| invalid("no JSON object of credentials".to_owned()))?;
    if let Some(default) = all.remove(DEFAULT_KEY) {
        all.insert(berth_spec::reference::DEFAULT_DOMAIN.to_owned(), default);
    }
    Ok(all)
}

/// The credentials for the registry of `reference` among those of several registries that came with a request.
pub fn credentials_for(headers: &HeaderMap, reference: &Reference) -> Result<Option<Credentials>> {
    let Some(header) = headers.get(CONFIG_HEADER).and_then(|value| value.to_str().ok()) else {
        return credentials(headers);
    };
    let invalid = |reason: String| Error::Header { name: "X-Registry-Config", reason };
    let bytes = LENIENT.decode(header).map_err(|error| invalid(error.to_string()))?;
    // The parser's message would show what it parsed.
    let mut all: HashMap<String, Credentials> =
        serde_json::from_slice(&bytes).map_err(|_| invalid("no JSON object of credentials".to_owned()))?;
    let domain = reference.domain();
    let default = (domain == berth_spec::reference::DEFAULT_DOMAIN).then(|| all.remove(DEFAULT_KEY)).flatten();
    Ok(default.or_else(|| all.remove(domain)))
}

fn parse(name: &str) -> Result<Reference> {
    Reference::parse(name).map_err(|error| Error::Invalid(error.to_string()))
}
