//! One connection: the socket, TLS when asked for, and hyper's HTTP/1.1 on top.

use crate::body::Body;
use crate::{Error, Host, Result, TlsFiles};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

const QUEUE_PATIENCE: Duration = Duration::from_secs(10);
const QUEUE_POLL: Duration = Duration::from_millis(1);

/// Opens a connection to `host` and leaves its driver running on the runtime.
///
/// # Errors
/// [`Error::Connect`], [`Error::Permission`] or [`Error::Tls`].
pub(crate) async fn open(host: &Host, tls: Option<&TlsFiles>) -> Result<SendRequest<Body>> {
    match host {
        Host::Unix(path) => {
            let stream = knock(path).await.map_err(|e| failed(host, e))?;
            drive(host, stream).await
        }
        Host::Tcp { name, port } => {
            let stream = TcpStream::connect((name.as_str(), *port)).await.map_err(|e| failed(host, e))?;
            stream.set_nodelay(true).map_err(|e| failed(host, e))?;
            match tls {
                None => drive(host, stream).await,
                Some(files) => drive(host, secure(name, stream, files).await?).await,
            }
        }
    }
}

/// Connects to a Unix socket; a full queue of the daemon (EAGAIN, unix(7)) is waited for.
async fn knock(path: &Path) -> std::io::Result<UnixStream> {
    let until = Instant::now() + QUEUE_PATIENCE;
    loop {
        match UnixStream::connect(path).await {
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock && Instant::now() < until => {
                tokio::time::sleep(QUEUE_POLL).await;
            }
            other => return other,
        }
    }
}

async fn secure(name: &str, stream: TcpStream, files: &TlsFiles) -> Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let refuse = |reason: String| Error::Tls { path: name.to_owned(), reason };
    let server = rustls::pki_types::ServerName::try_from(name.to_owned()).map_err(|e| refuse(e.to_string()))?;
    let connector = tokio_rustls::TlsConnector::from(crate::tls::config(files)?);
    connector.connect(server, stream).await.map_err(|e| refuse(e.to_string()))
}

async fn drive<S>(host: &Host, stream: S) -> Result<SendRequest<Body>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|e| failed(host, std::io::Error::other(e)))?;
    tokio::spawn(async move {
        // A broken connection is reported to the call that uses it.
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}

fn failed(host: &Host, source: std::io::Error) -> Error {
    let host = host.to_string();
    match source.kind() {
        std::io::ErrorKind::PermissionDenied => Error::Permission { host },
        _ => Error::Connect { host, source },
    }
}
