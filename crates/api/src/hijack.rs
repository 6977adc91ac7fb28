//! Connections that stop being HTTP: attach and exec.
//!
//! With `Upgrade` the answer is 101 and both sides own the raw connection: the client's end of input closes only the
//! way in, output goes on until the container ends it. Without it the answer is 200, output is the response body, and
//! the request body is input as far as the client sends one.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use berth_container::{ByteStream, Duplex};
use bytes::BytesMut;
use futures_util::StreamExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::{body, stream};

/// Bytes moved at once.
const CHUNK: usize = 32 << 10;
/// How long output waits behind the 101 for clients that may lose it.
///
/// docker-py and its kin read the answer through a buffer and then go on below that buffer: what arrives in one
/// packet with the answer is lost to them. Clients known to read correctly need not wait.
const SETTLE: Duration = Duration::from_millis(10);
/// Beginnings of the User-Agent of clients that read correctly.
const EXACT_CLIENTS: &[&str] = &["berth", "Docker-Client/"];

/// What a client asked for before its body was read.
pub struct Hijack {
    upgrade: Option<OnUpgrade>,
    protocol: HeaderValue,
    body: Option<Body>,
    settle: Duration,
}

impl Hijack {
    /// From a request whose body is the input.
    pub fn with_body(mut request: Request) -> Self {
        let mut hijack = Self::of(&mut request);
        hijack.body = Some(request.into_body());
        hijack
    }

    /// From a request whose body is something else.
    pub fn of(request: &mut Request) -> Self {
        let protocol = request.headers().get(header::UPGRADE).cloned();
        let upgrade = protocol.is_some().then(|| request.extensions_mut().remove::<OnUpgrade>()).flatten();
        let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        let is_exact = EXACT_CLIENTS.iter().any(|exact| agent.starts_with(exact));
        let settle = if is_exact { Duration::ZERO } else { SETTLE };
        Self { upgrade, protocol: protocol.unwrap_or(HeaderValue::from_static("tcp")), body: None, settle }
    }

    /// Answers, and joins the client with the container: first what was `before`, then what is `live`.
    pub fn join(self, kind: HeaderValue, before: Option<ByteStream>, live: Option<Duplex>) -> Response {
        let Some(upgrade) = self.upgrade else { return plain(kind, self.body, before, live) };
        tokio::spawn(async move {
            match upgrade.await {
                Ok(upgraded) => converse(TokioIo::new(upgraded), before, live, self.settle).await,
                Err(error) => tracing::debug!(%error, "client left before its connection was upgraded"),
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, self.protocol);
        response
    }
}

fn plain(kind: HeaderValue, body: Option<Body>, before: Option<ByteStream>, live: Option<Duplex>) -> Response {
    let before = before.unwrap_or_else(|| Box::pin(futures_util::stream::empty()));
    let live: ByteStream = match live {
        None => Box::pin(futures_util::stream::empty()),
        Some(live) => {
            let (output, mut input) = tokio::io::split(live);
            tokio::spawn(async move {
                let mut sent = body.map(body::stream).unwrap_or_else(|| Box::pin(futures_util::stream::empty()));
                while let Some(Ok(bytes)) = sent.next().await {
                    if input.write_all(&bytes).await.is_err() {
                        return;
                    }
                }
                let _ = input.shutdown().await;
            });
            stream::read(output)
        }
    };
    stream::bytes(kind, Box::pin(before.chain(live)))
}

/// Moves bytes until the container has no more; what the client still sends then is dropped.
async fn converse(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    before: Option<ByteStream>,
    live: Option<Duplex>,
    settle: Duration,
) {
    if !settle.is_zero() {
        tokio::time::sleep(settle).await;
    }
    if let Some(mut before) = before {
        while let Some(Ok(bytes)) = before.next().await {
            if client.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }
    let (mut from_client, mut to_client) = tokio::io::split(client);
    if let Some(live) = live {
        let (mut output, mut input) = tokio::io::split(live);
        let inward = async {
            let ended = pump(&mut from_client, &mut input).await;
            let _ = input.shutdown().await;
            if let Err(error) = ended {
                tracing::debug!(%error, "input of a container ended");
            }
            // The client has no more to say, or the container does not listen: output decides when this is over.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = inward => {}
            outcome = pump(&mut output, &mut to_client) => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "output of a container ended");
                }
            }
        }
    }
    let _ = to_client.shutdown().await;
}

/// Copies until the end of `from`, each read passed on at once.
async fn pump(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    let mut buffer = BytesMut::with_capacity(CHUNK);
    loop {
        buffer.clear();
        if from.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        to.write_all(&buffer).await?;
        to.flush().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn end_of_input_does_not_end_output() {
        let (client, mut far) = tokio::io::duplex(64);
        let (container, mut inside) = tokio::io::duplex(64);
        let task = tokio::spawn(converse(client, None, Some(Box::new(container)), Duration::ZERO));
        far.write_all(b"in").await.unwrap();
        far.shutdown().await.unwrap();
        let mut got = Vec::new();
        inside.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"in");
        inside.write_all(b"out").await.unwrap();
        drop(inside);
        let mut answer = Vec::new();
        far.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"out");
        task.await.unwrap();
    }
}
