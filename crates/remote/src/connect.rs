//! One request on a connection of its own.

use std::{future::Future, path::PathBuf, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{Error, Result, origin::Origin, trust};

/// To connect and agree on keys.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);
/// To the end of the answer's headers.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
/// Most bytes of an answer's headers, and most of them.
const HEADERS_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 128;

/// Sends `request`, whose URI is a path, to `origin`.
///
/// # Errors
/// [`Error::Unreachable`], [`Error::Trust`].
pub async fn send(
    origin: &Origin,
    is_verified: bool,
    certificates: &[PathBuf],
    mut request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>> {
    let url = format!("{origin}{}", request.uri());
    let unreachable = |reason: String| Error::Unreachable { url: url.clone(), reason };
    let host = origin.authority().parse().map_err(|_| unreachable("the host is no text".to_owned()))?;
    request.headers_mut().insert(header::HOST, host);
    let dial = TcpStream::connect((origin.bare_host(), origin.port));
    let socket = within(CONNECT_PATIENCE, dial).await.map_err(unreachable)?;
    let _ = socket.set_nodelay(true);
    if !origin.is_tls {
        return exchange(socket, request).await.map_err(unreachable);
    }
    let name = ServerName::try_from(origin.bare_host().to_owned()).map_err(|error| unreachable(error.to_string()))?;
    let connector = TlsConnector::from(trust::config(origin, certificates, is_verified)?);
    let socket = within(CONNECT_PATIENCE, connector.connect(name, socket)).await;
    exchange(socket.map_err(|reason| unreachable(format!("tls: {reason}")))?, request).await.map_err(unreachable)
}

async fn exchange(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> std::result::Result<Response<Incoming>, String> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEADERS_BYTES_MAX).max_headers(HEADERS_MAX);
    let (mut sender, connection) = within(CONNECT_PATIENCE, builder.handshake(TokioIo::new(socket))).await?;
    // It ends with the answer's body, or with the answer when that is dropped.
    tokio::spawn(connection);
    within(ANSWER_PATIENCE, sender.send_request(request)).await
}

async fn within<T, E: std::error::Error>(
    patience: Duration,
    act: impl Future<Output = std::result::Result<T, E>>,
) -> std::result::Result<T, String> {
    match tokio::time::timeout(patience, act).await {
        Ok(outcome) => outcome.map_err(|error| causes(&error)),
        Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
    }
}

/// The texts of an error and its causes.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
