//! The side door: a socket in the registry's own directory, through which its command line reaches a registry that
//! runs. Whoever can open it owns the files already.
//!
//! `POST /gc`, `POST /scrub`, `GET /metrics`; the bodies are JSON.

use std::{
    convert::Infallible,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::{UnixListener, UnixStream};

use crate::{Error, Result, ledger::list::sums, registry::Registry};

const BODY_BYTES_MAX: usize = 1 << 20;

/// Where the socket lies.
#[must_use]
pub fn path(root: &Path) -> PathBuf {
    root.join("admin.sock")
}

/// Binds the socket in place of one that an earlier process left.
///
/// # Errors
/// [`Error::File`].
pub fn bind(root: &Path) -> Result<UnixListener> {
    let path = path(root);
    // The lock of the registry is held, so nobody listens there.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(Error::file("bind", &path))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(Error::file("protect", &path))?;
    Ok(listener)
}

/// Answers until it is dropped.
pub async fn serve(registry: Arc<Registry>, listener: UnixListener) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let registry = Arc::clone(&registry);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let registry = Arc::clone(&registry);
                async move { Ok::<_, Infallible>(answer(&registry, request).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(registry: &Registry, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = format!("{} {}", request.method(), request.uri().path());
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    match path.as_str() {
        "POST /gc" => {
            let terms = serde_json::from_slice(&body).unwrap_or_else(|_| registry.terms());
            json(registry.collect(terms).await)
        }
        "POST /scrub" => json(registry.scrub().await),
        "GET /metrics" => match registry.depot.ledger.read("count", sums) {
            Ok(sums) => Response::new(Full::from(registry.metrics.text(
                &sums,
                registry.uploads.count() as u64,
                registry.open_connections(),
            ))),
            Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        _ => refusal(StatusCode::NOT_FOUND, path),
    }
}

fn json<T: Serialize>(outcome: Result<T>) -> Response<Full<Bytes>> {
    match outcome {
        Ok(value) => Response::new(Full::from(serde_json::to_vec(&value).unwrap_or_default())),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn refusal(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

/// Asks the registry that runs in `root`; `None` when none does.
///
/// # Errors
/// [`Error::Setting`] with the registry's words.
pub async fn ask<T: DeserializeOwned>(root: &Path, method: &str, target: &str, body: Vec<u8>) -> Result<Option<T>> {
    let failed = |reason: String| Error::Setting { name: target.to_owned(), reason };
    let Ok(stream) = UnixStream::connect(path(root)).await else { return Ok(None) };
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| failed(error.to_string()))?;
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(target).header("Host", "registry");
    let request = request.body(Full::<Bytes>::from(body)).map_err(|error| failed(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| failed(error.to_string()))?.to_bytes();
    if !status.is_success() {
        return Err(failed(String::from_utf8_lossy(&body).into_owned()));
    }
    serde_json::from_slice(&body).map(Some).map_err(|error| failed(error.to_string()))
}
