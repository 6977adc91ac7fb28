//! One request to the bucket's server, over a connection of its own pool.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::sign::{Canonical, Signer, UNSIGNED, encode, sha256};
use crate::{Error, Result, serve::payload::Payload};

/// To connect, and to the end of an answer's headers.
const PATIENCE: Duration = Duration::from_secs(60);
/// Again after a failure of the server or the network, and before that.
const TRIES: u32 = 4;
const WAIT: Duration = Duration::from_millis(200);
/// Answers that are read whole.
const BODY_BYTES_MAX: usize = 8 << 20;
/// Connections kept.
const KEPT: usize = 32;
/// Where distributions keep the certificates that all programs trust.
const TRUSTED: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

type Sender = http1::SendRequest<Payload>;

/// The server of a bucket.
#[derive(Debug)]
pub struct Server {
    host: String,
    address: String,
    tls: Option<(Connector, ServerName<'static>)>,
    signer: Signer,
    idle: Mutex<Vec<Sender>>,
}

/// A connector that can be shown.
#[derive(Clone)]
pub struct Connector(TlsConnector);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConnector")
    }
}

/// What to send.
pub struct Ask<'a> {
    /// Method.
    pub method: Method,
    /// Path of bucket and object, not encoded.
    pub path: String,
    /// Parameters, not encoded, sorted by name.
    pub query: Vec<(&'a str, String)>,
    /// More headers in lower case.
    pub headers: Vec<(&'a str, String)>,
    /// Makes the body; again for each try.
    pub body: Body<'a>,
}

/// Where a body comes from.
pub enum Body<'a> {
    /// Memory.
    Bytes(Bytes),
    /// A part of a file.
    File(&'a Path, u64, u64),
}

impl Server {
    /// The server at an endpoint.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn new(endpoint: &str, signer: Signer) -> Result<Self> {
        let wrong = |reason: String| Error::Setting { name: endpoint.to_owned(), reason };
        let (scheme, host) = endpoint.split_once("://").ok_or_else(|| wrong("it is no URL".to_owned()))?;
        let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
        let default = if scheme == "https" { 443 } else { 80 };
        let address = if name == host { format!("{host}:{default}") } else { host.to_owned() };
        let tls = match scheme {
            "https" => {
                let server = ServerName::try_from(name.trim_matches(['[', ']']).to_owned());
                Some((connector()?, server.map_err(|error| wrong(error.to_string()))?))
            }
            _ => None,
        };
        Ok(Self { host: host.to_owned(), address, tls, signer, idle: Mutex::default() })
    }

    /// Sends a request; the answer has a status of success, or is 404.
    ///
    /// # Errors
    /// [`Error::Bucket`].
    pub async fn ask(&self, ask: &Ask<'_>) -> Result<Response<Incoming>> {
        let failed = |reason: String| Error::Bucket { act: "ask for", key: ask.path.clone(), reason };
        let mut last = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(WAIT * attempt * attempt).await;
            }
            let response = match self.once(ask).await {
                Ok(response) => response,
                Err(reason) => {
                    last = reason;
                    continue;
                }
            };
            let status = response.status();
            if status.is_success() || status == StatusCode::NOT_FOUND {
                return Ok(response);
            }
            let words = text(response).await.unwrap_or_default();
            let code = super::xml::first(&words, "Code").unwrap_or_default().to_owned();
            last = format!("the server answers {status} {code}");
            if !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS {
                break;
            }
        }
        Err(failed(last))
    }

    async fn once(&self, ask: &Ask<'_>) -> std::result::Result<Response<Incoming>, String> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(mut sender) = kept.filter(|sender| !sender.is_closed())
            && sender.ready().await.is_ok()
            && let Ok(response) = self.send(&mut sender, ask).await
        {
            self.keep(sender);
            return Ok(response);
        }
        let mut sender = tokio::time::timeout(PATIENCE, self.connect()).await.map_err(|_| "no answer".to_owned())??;
        let response = self.send(&mut sender, ask).await?;
        self.keep(sender);
        Ok(response)
    }

    fn keep(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(sender);
        }
    }

    async fn connect(&self) -> std::result::Result<Sender, String> {
        let stream = TcpStream::connect(&self.address).await.map_err(|error| error.to_string())?;
        let _ = stream.set_nodelay(true);
        let sender = match &self.tls {
            None => {
                let (sender, connection) =
                    http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
                tokio::spawn(connection);
                sender
            }
            Some((connector, name)) => {
                let stream = connector.0.connect(name.clone(), stream).await.map_err(|error| error.to_string())?;
                let (sender, connection) =
                    http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
                tokio::spawn(connection);
                sender
            }
        };
        Ok(sender)
    }

    async fn send(&self, sender: &mut Sender, ask: &Ask<'_>) -> std::result::Result<Response<Incoming>, String> {
        let request = self.request(ask)?;
        let sent = tokio::time::timeout(PATIENCE * 10, sender.send_request(request)).await;
        sent.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())
    }

    fn request(&self, ask: &Ask<'_>) -> std::result::Result<Request<Payload>, String> {
        let path = encode(&ask.path, true);
        let query: Vec<String> =
            ask.query.iter().map(|(name, value)| format!("{}={}", encode(name, false), encode(value, false))).collect();
        let query = query.join("&");
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let (payload, length, body) = match &ask.body {
            Body::Bytes(bytes) => (sha256(bytes), bytes.len() as u64, Payload::bytes(bytes.clone())),
            Body::File(path, offset, length) => {
                let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
                (UNSIGNED.to_owned(), *length, Payload::file(file, *offset, *length, None))
            }
        };
        let mut headers: Vec<(&str, &str)> =
            vec![("host", &self.host), ("x-amz-content-sha256", &payload), ("x-amz-date", &time)];
        headers.extend(ask.headers.iter().map(|(name, value)| (*name, value.as_str())));
        headers.sort_unstable();
        let authorization = self.signer.sign(&Canonical {
            method: ask.method.as_str(),
            path: &path,
            query: &query,
            headers: &headers,
            payload: &payload,
            time: &time,
        });
        let target = if query.is_empty() { path } else { format!("{path}?{query}") };
        let mut request = Request::builder().method(ask.method.clone()).uri(target);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.header(header::AUTHORIZATION, authorization).header(header::CONTENT_LENGTH, length);
        request.body(body).map_err(|error| error.to_string())
    }
}

/// The whole body as text.
///
/// # Errors
/// What is wrong with it.
pub async fn text(response: Response<Incoming>) -> std::result::Result<String, String> {
    let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect();
    let body = tokio::time::timeout(PATIENCE, body).await.map_err(|_| "the answer does not end".to_owned())?;
    let bytes = body.map_err(|error| error.to_string())?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn connector() -> Result<Connector> {
    let wrong = |reason: String| Error::Setting { name: "certificates".to_owned(), reason };
    let mut roots = RootCertStore::empty();
    let named = std::env::var("SSL_CERT_FILE").ok();
    for path in named.iter().map(String::as_str).chain(TRUSTED) {
        if let Ok(certificates) = CertificateDer::pem_file_iter(path) {
            roots.add_parsable_certificates(certificates.filter_map(std::result::Result::ok));
            break;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Connector(TlsConnector::from(Arc::new(config))))
}
