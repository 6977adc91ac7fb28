//! The client itself: connection reuse, version negotiation, error bodies.

use crate::body::Body;
use crate::stream::Bytes as ByteStream;
use crate::{Error, Hijacked, Host, Origin, Request, Result, TlsFiles, connect, start};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Response, StatusCode};
use serde::de::DeserializeOwned;
use std::sync::Mutex;

/// What is known of the daemon's API version.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Version {
    /// berth's own daemon: the newest, without prefix.
    Own,
    /// Not heard yet; this one is tried.
    Tried(String),
    /// Answered, or fixed by `DOCKER_API_VERSION`.
    Agreed(String),
}

/// A client of one daemon. Calls may run side by side; each has its own connection.
pub struct Client {
    host: Host,
    origin: Origin,
    tls: Option<TlsFiles>,
    version: Mutex<Version>,
    idle: Mutex<Vec<SendRequest<Body>>>,
    /// Headers sent with every call, from Docker's `config.json`.
    pub headers: Vec<(String, String)>,
}

impl Client {
    /// A client of the daemon at `host`; nothing is connected yet.
    #[must_use]
    pub fn new(host: Host, origin: Origin, tls: Option<TlsFiles>) -> Self {
        let version = match std::env::var("DOCKER_API_VERSION") {
            Ok(fixed) if !fixed.is_empty() => Version::Agreed(fixed.trim_start_matches('v').to_owned()),
            _ if origin == Origin::Default => Version::Own,
            _ => Version::Tried(berth_spec::API_VERSION.to_owned()),
        };
        Self { host, origin, tls, version: Mutex::new(version), idle: Mutex::new(Vec::new()), headers: Vec::new() }
    }

    /// Where the daemon is.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The API version in use: agreed, or the newest this client knows.
    #[must_use]
    pub fn api_version(&self) -> String {
        match &*self.version.lock().unwrap_or_else(|e| e.into_inner()) {
            Version::Own => berth_spec::API_VERSION.to_owned(),
            Version::Tried(version) | Version::Agreed(version) => version.clone(),
        }
    }

    /// Whether both sides speak `version` (`1.44`) or newer.
    #[must_use]
    pub fn speaks(&self, version: &str) -> bool {
        numbers(&self.api_version()) >= numbers(version)
    }

    /// Sends `request` and returns the answer of a call that succeeded (2xx, 304 is an error of its own kind).
    ///
    /// # Errors
    /// [`Error::Status`] with the daemon's text, and what [`Error`] lists for connections.
    pub async fn send(&self, mut request: Request) -> Result<Response<Incoming>> {
        let path = request.path.clone();
        // A HEAD answer has no text to hear the offered version in.
        if request.body.again().is_none() || request.method == hyper::Method::HEAD {
            self.agree().await?;
        }
        loop {
            let again = request.body.again();
            let spoken = self.api_version();
            let response = self.exchange(&mut request).await?;
            if response.status().is_success() || response.status() == StatusCode::SWITCHING_PROTOCOLS {
                self.confirm();
                return Ok(response);
            }
            let code = response.status().as_u16();
            let message = message(response, &path).await;
            match (again, too_new(&message)) {
                (Some(body), Some(offered)) if self.lower(&spoken, offered) => request.body = body,
                _ => {
                    self.confirm();
                    return Err(Error::Status { code, message });
                }
            }
        }
    }

    /// Sends `request` and reads its JSON answer.
    ///
    /// # Errors
    /// As [`Client::send`], and [`Error::Decode`].
    pub async fn json<T: DeserializeOwned>(&self, request: Request) -> Result<T> {
        let path = request.path.clone();
        let bytes = self.bytes(request).await?;
        serde_json::from_slice(&bytes).map_err(|e| Error::Decode { path, reason: e.to_string() })
    }

    /// Sends `request` and reads its answer whole.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn bytes(&self, request: Request) -> Result<bytes::Bytes> {
        let (method, path) = (request.method.to_string(), request.path.clone());
        let response = self.send(request).await?;
        let collected = response.into_body().collect().await;
        Ok(collected.map_err(|e| Error::Transport { method, path, reason: e.to_string() })?.to_bytes())
    }

    /// Sends `request` and drops its answer.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn done(&self, request: Request) -> Result<()> {
        self.bytes(request).await.map(drop)
    }

    /// Sends `request` and reads its answer whole, with the answer's headers.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn whole(&self, request: Request) -> Result<(hyper::HeaderMap, bytes::Bytes)> {
        let path = request.path.clone();
        let (head, body) = self.send(request).await?.into_parts();
        let mut stream = ByteStream::new(path, body);
        let mut bytes = Vec::new();
        while let Some(piece) = stream.next().await? {
            bytes.extend_from_slice(&piece);
        }
        Ok((head.headers, bytes.into()))
    }

    /// Sends `request` and returns its body as it comes.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn stream(&self, request: Request) -> Result<ByteStream> {
        let path = request.path.clone();
        Ok(ByteStream::new(path, self.send(request).await?.into_body()))
    }

    /// Sends `request` and takes over its connection as a raw byte stream.
    ///
    /// # Errors
    /// As [`Client::send`], and [`Error::Decode`] when the daemon does not hand the connection over.
    pub async fn hijack(&self, request: Request) -> Result<Hijacked> {
        let path = request.path.clone();
        let request = request.header("connection", "Upgrade").header("upgrade", "tcp");
        let response = self.send(request).await?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let reason = format!("the daemon did not hand the connection over ({})", response.status());
            return Err(Error::Decode { path, reason });
        }
        let multiplexed = response
            .headers()
            .get("content-type")
            .is_some_and(|v| v.as_bytes() == b"application/vnd.docker.multiplexed-stream");
        let upgraded = hyper::upgrade::on(response).await.map_err(|e| Error::Decode { path, reason: e.to_string() })?;
        Ok(Hijacked::new(upgraded, multiplexed))
    }

    /// One request and its answer, on an idle connection where there is one.
    async fn exchange(&self, request: &mut Request) -> Result<Response<Incoming>> {
        if let Some(mut sender) = self.reusable().await {
            let again = request.body.again();
            let sent = sender.send_request(self.message(request)?).await;
            match (sent, again) {
                (Ok(response), _) => {
                    self.keep(sender);
                    return Ok(response);
                }
                // The daemon closed the idle connection: the request never reached it.
                (Err(e), Some(body)) if e.is_canceled() || e.is_closed() || e.is_incomplete_message() => {
                    request.body = body;
                }
                (Err(e), _) => return Err(transport(request, &e)),
            }
        }
        let mut sender = self.connect().await?;
        let outgoing = self.message(request)?;
        let response = sender.send_request(outgoing).await.map_err(|e| transport(request, &e))?;
        self.keep(sender);
        Ok(response)
    }

    async fn connect(&self) -> Result<SendRequest<Body>> {
        match (connect::open(&self.host, self.tls.as_ref()).await, self.origin, &self.host) {
            (Err(Error::Connect { .. }), Origin::Default, Host::Unix(socket)) => {
                start::daemon(socket).await?;
                connect::open(&self.host, None).await
            }
            (result, ..) => result,
        }
    }

    /// An idle connection whose last answer was read to its end; only bodies that can be sent again use one.
    async fn reusable(&self) -> Option<SendRequest<Body>> {
        for attempt in 0..2 {
            {
                let mut idle = self.idle.lock().unwrap_or_else(|e| e.into_inner());
                idle.retain(|sender| !sender.is_closed());
                if let Some(at) = idle.iter().position(SendRequest::is_ready) {
                    return Some(idle.swap_remove(at));
                }
                if idle.is_empty() {
                    return None;
                }
            }
            if attempt == 0 {
                tokio::task::yield_now().await;
            }
        }
        None
    }

    fn keep(&self, sender: SendRequest<Body>) {
        self.idle.lock().unwrap_or_else(|e| e.into_inner()).push(sender);
    }

    fn message(&self, request: &mut Request) -> Result<hyper::Request<Body>> {
        let prefix = match &*self.version.lock().unwrap_or_else(|e| e.into_inner()) {
            Version::Own => String::new(),
            Version::Tried(version) | Version::Agreed(version) => format!("/v{version}"),
        };
        let mut uri = format!("{prefix}{}", request.path);
        if !request.query.is_empty() {
            uri.push('?');
            uri.push_str(&request.query);
        }
        let host = match &self.host {
            Host::Unix(_) => "localhost".to_owned(),
            Host::Tcp { name, port } => format!("{name}:{port}"),
        };
        let mut builder = hyper::Request::builder()
            .method(request.method.clone())
            .uri(uri)
            .header("host", host)
            .header("user-agent", concat!("berth/", env!("CARGO_PKG_VERSION")));
        for (name, value) in &self.headers {
            builder = builder.header(name.as_str(), value.as_str());
        }
        for (name, value) in &request.headers {
            builder = builder.header(*name, value.as_str());
        }
        let body = std::mem::replace(&mut request.body, Body::empty());
        builder.body(body).map_err(|e| Error::Decode { path: request.path.clone(), reason: e.to_string() })
    }

    /// Settles the version before a request that cannot be sent twice.
    async fn agree(&self) -> Result<()> {
        if matches!(&*self.version.lock().unwrap_or_else(|e| e.into_inner()), Version::Tried(_)) {
            Box::pin(self.done(Request::get("/_ping"))).await?;
        }
        Ok(())
    }

    fn confirm(&self) {
        let mut version = self.version.lock().unwrap_or_else(|e| e.into_inner());
        if let Version::Tried(tried) = &*version {
            *version = Version::Agreed(tried.clone());
        }
    }

    /// Takes the daemon's `offered` version after it refused `spoken`. A call beside this one may have done so already;
    /// then that one's is used.
    fn lower(&self, spoken: &str, offered: &str) -> bool {
        let mut version = self.version.lock().unwrap_or_else(|e| e.into_inner());
        match &*version {
            Version::Tried(tried) if numbers(offered) < numbers(tried) => {
                *version = Version::Agreed(offered.to_owned());
                true
            }
            Version::Agreed(agreed) => numbers(agreed) < numbers(spoken),
            _ => false,
        }
    }
}

fn transport(request: &Request, error: &hyper::Error) -> Error {
    let mut reason = error.to_string();
    if let Some(source) = std::error::Error::source(error) {
        reason = format!("{reason}: {source}");
    }
    if error.is_parse() {
        reason.push_str("\n* Are you trying to connect to a TLS-enabled daemon without TLS?");
    }
    Error::Transport { method: request.method.to_string(), path: request.path.clone(), reason }
}

/// The daemon's text in an error answer: `{"message":...}`, plain text, or the status itself.
async fn message(response: Response<Incoming>, path: &str) -> String {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    let status = response.status();
    let bytes = response.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
    if let Ok(Message { message }) = serde_json::from_slice(&bytes) {
        return message.trim().to_owned();
    }
    match String::from_utf8_lossy(&bytes).trim() {
        "" => format!("request returned {status} for API route {path}"),
        text => text.to_owned(),
    }
}

/// The version offered in `client version 1.52 is too new. Maximum supported API version is 1.41`.
fn too_new(message: &str) -> Option<&str> {
    let (_, offered) = message.split_once("is too new. Maximum supported API version is ")?;
    Some(offered.trim().trim_end_matches('.'))
}

fn numbers(version: &str) -> (u32, u32) {
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    (major.parse().unwrap_or(0), minor.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hears_the_version_offered() {
        let text = "client version 1.52 is too new. Maximum supported API version is 1.41";
        assert_eq!(too_new(text), Some("1.41"));
        assert_eq!(too_new("No such container: x"), None);
        assert!(numbers("1.9") < numbers("1.41"));
    }
}
