//! One request, on a connection that is there already or on a new one.

use std::{future::Future, time::Duration};

use hyper::{
    Request, Response, Uri,
    body::Incoming,
    client::conn::http1,
    header::{self, HeaderValue},
    http::request::Parts,
};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{
    Client, Error, Policy, Result,
    origin::Origin,
    payload::Source,
    pool::Sender,
    proxy::{self, Proxy},
    trust::Trust,
};

/// To connect and agree on keys.
const CONNECT_PATIENCE: Duration = Duration::from_secs(15);
/// To the end of the answer's headers.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
/// Slowest sending of a body that is waited for.
const SEND_BYTES_PER_SECOND_MIN: u64 = 16 * 1024;
/// Most bytes of an answer's headers, and most of them.
const HEADERS_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 128;

trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// Where a request goes, and what is needed to get there.
pub struct Target<'t> {
    pub client: &'t Client,
    pub policy: &'t Policy,
    pub origin: &'t Origin,
    pub trust: &'t Trust,
}

/// Sends a request, whose URI is a path, to `target`.
///
/// # Errors
/// [`Error::Unreachable`], [`Error::Trust`].
pub async fn send(target: &Target<'_>, mut head: Parts, source: &Source) -> Result<Response<Incoming>> {
    let origin = target.origin;
    let request = crate::error::request(&head.method, &format!("{origin}{}", head.uri));
    let unreachable = |reason: String| Error::Unreachable { request: request.clone(), reason };
    let host = HeaderValue::from_str(&origin.authority());
    head.headers.insert(header::HOST, host.map_err(|_| unreachable("the host is no text".to_owned()))?);
    let proxy = target.policy.proxies.towards(origin);
    if let Some(proxy) = proxy.as_ref().filter(|_| !origin.is_tls) {
        through(proxy, origin, &mut head).map_err(unreachable)?;
    }
    let via = proxy.as_ref().map(|proxy| proxy.origin.to_string()).unwrap_or_default();
    let key = format!("{origin} {} {via}", target.trust.key());
    let pool = &target.client.shared.pool;
    if let Some(mut sender) = pool.take(&key) {
        let answer = exchange(&mut sender, &head, source).await;
        match answer {
            Ok(response) => {
                pool.keep(key, sender);
                return Ok(response);
            }
            // The other side had closed it meanwhile.
            Err(Failed::Unsent) => {}
            Err(Failed::Broken(reason)) if !matches!(source, Source::Empty) => return Err(unreachable(reason)),
            Err(Failed::Broken(_)) => {}
        }
    }
    let mut sender = open(target, proxy.as_ref()).await.map_err(|failure| failure.into_error(&request))?;
    match exchange(&mut sender, &head, source).await {
        Ok(response) => {
            pool.keep(key, sender);
            Ok(response)
        }
        Err(Failed::Broken(reason)) => Err(unreachable(reason)),
        Err(Failed::Unsent) => Err(unreachable("the connection was closed".to_owned())),
    }
}

enum Failed {
    /// Nothing of the request went out.
    Unsent,
    Broken(String),
}

async fn exchange(
    sender: &mut Sender,
    head: &Parts,
    source: &Source,
) -> std::result::Result<Response<Incoming>, Failed> {
    let request = Request::from_parts(head.clone(), source.payload());
    let length = match source {
        Source::File { length, .. } => *length,
        Source::Bytes(_) | Source::Empty => 0,
    };
    let patience = ANSWER_PATIENCE + Duration::from_secs(length / SEND_BYTES_PER_SECOND_MIN);
    match tokio::time::timeout(patience, sender.send_request(request)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) if error.is_canceled() => Err(Failed::Unsent),
        Ok(Err(error)) => Err(Failed::Broken(causes(&error))),
        Err(_) => Err(Failed::Broken(format!("no answer within {} s", patience.as_secs()))),
    }
}

enum Unopened {
    Unreachable(String),
    Own(Error),
}

impl Unopened {
    fn into_error(self, request: &str) -> Error {
        match self {
            Self::Unreachable(reason) => Error::Unreachable { request: request.to_owned(), reason },
            Self::Own(error) => error,
        }
    }
}

impl From<String> for Unopened {
    fn from(reason: String) -> Self {
        Self::Unreachable(reason)
    }
}

/// A new connection to the target, or to the proxy before it.
async fn open(target: &Target<'_>, proxy: Option<&Proxy>) -> std::result::Result<Sender, Unopened> {
    let origin = target.origin;
    let first = proxy.map_or(origin, |proxy| &proxy.origin);
    let mut socket = within(CONNECT_PATIENCE, TcpStream::connect((first.bare_host(), first.port))).await?;
    let _ = socket.set_nodelay(true);
    if let Some(proxy) = proxy.filter(|_| origin.is_tls) {
        let tunnel = tokio::time::timeout(CONNECT_PATIENCE, proxy::tunnel(&mut socket, proxy, origin)).await;
        tunnel.map_err(|_| format!("proxy {}: no answer", proxy.origin))??;
    }
    let socket: Box<dyn Socket> = if origin.is_tls {
        let name = ServerName::try_from(origin.bare_host().to_owned()).map_err(|error| error.to_string())?;
        let trusts = &target.client.shared.trusts;
        let config = trusts.config(origin, target.policy, target.trust).map_err(Unopened::Own)?;
        let secured = within(CONNECT_PATIENCE, TlsConnector::from(config).connect(name, socket)).await;
        Box::new(secured.map_err(|reason| format!("tls: {reason}"))?)
    } else {
        Box::new(socket)
    };
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEADERS_BYTES_MAX.max(512 * 1024)).max_headers(HEADERS_MAX);
    let (sender, connection) = within(CONNECT_PATIENCE, builder.handshake(TokioIo::new(socket))).await?;
    // It ends when its sender goes, or with the other side.
    tokio::spawn(connection);
    Ok(sender)
}

/// Makes a plain request one for a proxy (RFC 9112, 3.2.2).
fn through(proxy: &Proxy, origin: &Origin, head: &mut Parts) -> std::result::Result<(), String> {
    let whole = format!("{origin}{}", head.uri);
    head.uri = whole.parse::<Uri>().map_err(|error| error.to_string())?;
    if let Some(authorization) = &proxy.authorization {
        let value = HeaderValue::from_str(authorization).map_err(|error| error.to_string())?;
        head.headers.insert(header::PROXY_AUTHORIZATION, value);
    }
    Ok(())
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
