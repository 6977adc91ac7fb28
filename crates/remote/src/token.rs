//! From a challenge to the `Authorization` header (Docker Registry v2 authentication, "Token Authentication").

use hyper::{Method, Response, StatusCode, Uri, body::Incoming};
use serde::Deserialize;

use crate::{
    Error, Result, answer,
    challenge::Challenge,
    origin::Origin,
    repository::{Access, Repository, Way},
};

/// Most bytes of a token server's answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// Token servers on another host than their registry: (registry, token server).
const KNOWN: [(&str, &str); 2] = [("registry-1.docker.io", "auth.docker.io"), ("registry.gitlab.com", "gitlab.com")];

#[derive(Deserialize)]
struct Granted {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    refresh_token: String,
}

/// A token, and one that stands for user and password from now on (empty for none).
pub struct Grant {
    pub token: String,
    pub refresh: String,
}

impl Repository {
    /// The `Authorization` that answers `challenge`.
    ///
    /// # Errors
    /// [`Error::HostileRealm`], [`Error::Denied`] without credentials for Basic, [`Error::Unauthorized`].
    pub(crate) async fn authorise(&self, way: &Way, challenge: &Challenge) -> Result<String> {
        // A mirror is another host than the one the credentials are for.
        let credentials = self.credentials.as_ref().filter(|_| !way.endpoint.is_mirror);
        let (realm, service, scope) = match challenge {
            Challenge::Basic => {
                let reason = "no basic auth credentials".to_owned();
                let denied = || Error::Denied { repository: self.familiar.clone(), reason };
                return credentials.and_then(|credentials| credentials.basic()).ok_or_else(denied);
            }
            Challenge::Bearer { realm, service, scope } => (realm, service, scope),
        };
        if let Some(given) = credentials.filter(|credentials| !credentials.registry_token.is_empty()) {
            return Ok(format!("Bearer {}", given.registry_token));
        }
        let uri = self.trusted(way, realm)?;
        // The registry could ask for more than is needed, or for less than comes next.
        let own = [self.scope()];
        let scopes: Vec<String> = match scope.is_empty() || scope.starts_with("repository:") {
            true => own.into_iter().chain(self.sources.iter().map(|path| format!("repository:{path}:pull"))).collect(),
            false => vec![scope.clone()],
        };
        let response = match credentials.filter(|credentials| !credentials.identity_token.is_empty()) {
            Some(given) => {
                let scope = scopes.join(" ");
                let pairs = [
                    ("grant_type", "refresh_token"),
                    ("refresh_token", &given.identity_token),
                    ("service", service),
                    ("scope", &scope),
                    ("client_id", "berth"),
                ];
                self.ask_for_token(way, &uri, None, Some(encode(&pairs))).await?
            }
            None => {
                let mut pairs = vec![("service", service.as_str())];
                pairs.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
                let uri = with_query(&uri, &pairs).ok_or_else(|| hostile(&way.endpoint.origin, realm))?;
                self.ask_for_token(way, &uri, credentials.and_then(|credentials| credentials.basic()), None).await?
            }
        };
        granted(uri.to_string(), response).await.map(|granted| format!("Bearer {}", granted.token))
    }

    pub(crate) fn trusted(&self, way: &Way, realm: &str) -> Result<Uri> {
        trusted(&way.endpoint.origin, way.endpoint.trust.is_verified, &self.policy.realms, realm)
    }

    fn scope(&self) -> String {
        let actions = match self.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
        };
        format!("repository:{}:{actions}", self.path)
    }
}

/// `uri` with further parameters.
pub fn with_query(uri: &Uri, pairs: &[(&str, &str)]) -> Option<Uri> {
    let joint = if uri.query().is_some() { '&' } else { '?' };
    format!("{uri}{joint}{}", encode(pairs)).parse().ok()
}

fn encode(pairs: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(pairs).unwrap_or_default()
}

/// What a token server granted.
pub async fn granted(url: String, response: Response<Incoming>) -> Result<Grant> {
    let request = crate::error::request(&Method::GET, url.split('?').next().unwrap_or_default());
    let status = response.status();
    if [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status) {
        return Err(Error::Unauthorized { request, reason: "incorrect username or password".to_owned() });
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(Error::TooManyRequests {
            request,
            wait: answer::retry_after(&response),
            reason: answer::fault(response).await.words(),
        });
    }
    if !status.is_success() {
        let reason = answer::fault(response).await.words();
        return Err(Error::Status { request, status: status.as_u16(), reason });
    }
    let body = answer::text(response, ANSWER_BYTES_MAX).await;
    let body = body.map_err(|reason| Error::Unreachable { request: request.clone(), reason })?;
    let no_token =
        || Error::Unauthorized { request: request.clone(), reason: "the token server gives no token".to_owned() };
    // The parser's message could show the token.
    let granted: Granted = serde_json::from_slice(&body).map_err(|_| no_token())?;
    let token = if granted.token.is_empty() { granted.access_token } else { granted.token };
    let is_clean = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if is_clean { Ok(Grant { token, refresh: granted.refresh_token }) } else { Err(no_token()) }
}

/// The realm, when it may get credentials: https on the registry's own host or a token server known for it; an
/// insecure registry's own host also by http.
fn trusted(registry: &Origin, is_verified: bool, allowed: &[String], realm: &str) -> Result<Uri> {
    let refused = || hostile(registry, realm);
    let uri: Uri = realm.parse().map_err(|_| refused())?;
    let origin = Origin::of(&uri).ok_or_else(refused)?;
    let is_own = origin.host == registry.host;
    let is_known = KNOWN.contains(&(registry.host.as_str(), origin.host.as_str()))
        || allowed.iter().any(|host| *host == origin.host || *host == origin.authority());
    let is_private = origin.is_tls || (is_own && !is_verified && !registry.is_tls);
    if is_private && (is_own || is_known) { Ok(uri) } else { Err(refused()) }
}

fn hostile(registry: &Origin, realm: &str) -> Error {
    Error::HostileRealm { registry: registry.to_string(), realm: realm.escape_debug().take(200).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_go_to_no_stranger() {
        let hub = Origin::new(true, "registry-1.docker.io").unwrap();
        assert!(trusted(&hub, true, &[], "https://auth.docker.io/token").is_ok());
        assert!(trusted(&hub, true, &[], "http://auth.docker.io/token").is_err());
        let own = Origin::new(true, "r.example:5000").unwrap();
        assert!(trusted(&own, true, &[], "https://r.example/token").is_ok());
        for stranger in [
            "http://r.example:5000/token",
            "https://auth.docker.io/token",
            "https://r.example.evil.example/token",
            "https://r.example@evil.example/token",
            "ftp://r.example/token",
            "/token",
        ] {
            let refused = trusted(&own, true, &[], stranger).unwrap_err();
            assert!(matches!(refused, Error::HostileRealm { .. }), "{stranger}");
        }
        let allowed = ["auth.example".to_owned()];
        assert!(trusted(&own, true, &allowed, "https://auth.example/token").is_ok());
        assert!(trusted(&own, true, &allowed, "http://auth.example/token").is_err());
        let plain = Origin::new(false, "127.0.0.1:5000").unwrap();
        assert!(trusted(&plain, false, &[], "http://127.0.0.1:5001/token").is_ok());
        assert!(trusted(&plain, false, &[], "http://127.0.0.2:5001/token").is_err());
    }
}
