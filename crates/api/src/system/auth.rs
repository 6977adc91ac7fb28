//! `POST /auth`: does the registry take these credentials.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{Request, StatusCode, header},
};
use base64::Engine as _;
use berth_spec::model::AuthConfig;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;

use crate::{Engine, Error, Result, body::Json, failure::Answer, stream};

/// How long a registry may take.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Granted {
    status: &'static str,
    identity_token: &'static str,
}

pub async fn auth(State(engine): State<Arc<Engine>>, Json(wanted): Json<AuthConfig>) -> Answer {
    let address = wanted.serveraddress.as_deref().filter(|address| !address.is_empty()).unwrap_or("docker.io");
    let host = host(address)?;
    let (user, password) = (wanted.username.unwrap_or_default(), wanted.password.unwrap_or_default());
    if user.is_empty() || password.is_empty() {
        return Err(Error::Invalid("username and password must be given".to_owned()).into());
    }
    let is_insecure =
        is_loopback(host) || engine.settings().insecure_registries.iter().any(|insecure| insecure == host);
    if !is_insecure {
        // Registries with TLS and tokens come with the part that pulls from them.
        return Err(Error::NotBuilt("login to a registry with TLS").into());
    }
    let asked = tokio::time::timeout(PATIENCE, ask(host, &user, &password)).await;
    let unreachable = |reason: String| Error::Unreachable(format!("Get \"http://{host}/v2/\": {reason}"));
    match asked
        .map_err(|_| unreachable("the registry does not answer".to_owned()))?
        .map_err(|error| unreachable(error.to_string()))?
    {
        StatusCode::OK => stream::json(&Granted { status: "Login Succeeded", identity_token: "" }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let text = format!("Get \"http://{host}/v2/\": unauthorized: incorrect username or password");
            Err(Error::Unauthorized(text).into())
        }
        other => Err(unreachable(format!("the registry answers {other}")).into()),
    }
}

/// `host[:port]` of what users write for a registry.
fn host(address: &str) -> Result<&str> {
    let bare = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")).unwrap_or(address);
    let host = bare.split('/').next().unwrap_or_default();
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    if host.is_empty() || !host.bytes().all(fits) {
        return Err(Error::Invalid(format!("serveraddress: {address:?} is no registry")));
    }
    Ok(host)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.starts_with("localhost:") || host.starts_with("127.") || host.starts_with("[::1]")
}

/// The registry's status for `GET /v2/` with basic credentials (OCI distribution specification, "Determining Support").
async fn ask(
    host: &str,
    user: &str,
    password: &str,
) -> std::result::Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let target = if host.rsplit(']').next().is_some_and(|rest| rest.contains(':')) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let socket = TcpStream::connect(target).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    let request = Request::get("/v2/")
        .header(header::HOST, host)
        .header(header::AUTHORIZATION, format!("Basic {credentials}"))
        .body(Body::empty())?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    driver.abort();
    Ok(response.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_as_users_write_them() {
        for (address, wanted) in [
            ("https://index.docker.io/v1/", "index.docker.io"),
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
