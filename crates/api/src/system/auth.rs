//! `POST /auth`: does the registry take these credentials.

use std::sync::Arc;

use axum::extract::State;
use berth_remote::Credentials;
use berth_spec::model::AuthConfig;
use serde::Serialize;

use crate::{Engine, Error, Result, body::Json, failure::Answer, registry, stream};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Granted {
    status: &'static str,
    identity_token: String,
}

pub async fn auth(State(engine): State<Arc<Engine>>, Json(wanted): Json<AuthConfig>) -> Answer {
    let address = wanted.serveraddress.as_deref().filter(|address| !address.is_empty()).unwrap_or("docker.io");
    let host = host(address)?;
    let username = wanted.username.unwrap_or_default();
    let password = wanted.password.unwrap_or_default();
    if username.is_empty() || password.is_empty() {
        return Err(Error::Invalid("username and password must be given".to_owned()).into());
    }
    let credentials = Credentials { username, password, ..Credentials::default() };
    match engine.images.remote().login(host, &registry::policy(&engine), credentials).await {
        Ok(identity_token) => stream::json(&Granted { status: "Login Succeeded", identity_token }),
        Err(error @ berth_remote::Error::Unauthorized { .. }) => Err(Error::Unauthorized(error.to_string()).into()),
        Err(error) => Err(Error::Unreachable(error.to_string()).into()),
    }
}

/// The registry of what users write for one.
fn host(address: &str) -> Result<&str> {
    let bare = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")).unwrap_or(address);
    let host = bare.split('/').next().unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    if host.is_empty() || !host.bytes().all(fits) {
        return Err(Error::Invalid(format!("serveraddress: {address:?} is no registry")));
    }
    Ok(if matches!(host, "index.docker.io" | "registry-1.docker.io") { "docker.io" } else { host })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_as_users_write_them() {
        for (address, wanted) in [
            ("https://index.docker.io/v1/", "docker.io"),
            ("localhost:5000", "localhost:5000"),
            ("http://[::1]:5000/v2", "[::1]:5000"),
        ] {
            assert_eq!(host(address).unwrap(), wanted);
        }
        for hostile in ["", "http://", "a b", "x\r\nHost: y", "u@h"] {
            assert!(host(hostile).is_err(), "{hostile}");
        }
    }
}
