//! Connections that stop being HTTP: attach and exec.
//!
//! With `Upgrade` the answer is 101 and both sides own the raw connection: the client's end of input closes only the
//! way in, output goes on until the container ends it. Without it the answer is 200, output is the response body, and
//! the request body is input as far as the client sends one.
//!
//! A client whose input ended may still read, or be gone. The kernel tells them apart by a hang-up of the socket, so
//! that a container which never says a word holds no connection of a client that left.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use berth_container::{ByteStream, Duplex};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::{rt::TokioIo, server::conn::auto::upgrade::downcast};
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest},
    net::{TcpStream, UnixStream},
};

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
                Ok(upgraded) => {
                    if !self.settle.is_zero() {
                        tokio::time::sleep(self.settle).await;
                    }
                    Client::of(upgraded).converse(before, live).await;
                }
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

/// The raw connection of a client.
struct Client {
    reader: Box<dyn AsyncRead + Unpin + Send>,
    writer: Box<dyn AsyncWrite + Unpin + Send>,
    /// The socket once more, if there is one that can hang up.
    socket: Option<OwnedFd>,
}

impl Client {
    fn of(upgraded: Upgraded) -> Self {
        match downcast::<TokioIo<UnixStream>>(upgraded) {
            Ok(parts) => Self::unix(parts.read_buf, parts.io.into_inner()),
            Err(upgraded) => match downcast::<TokioIo<TcpStream>>(upgraded) {
                Ok(parts) => Self::tcp(parts.read_buf, parts.io.into_inner()),
                Err(upgraded) => Self::other(upgraded),
            },
        }
    }

    fn unix(early: Bytes, stream: UnixStream) -> Self {
        let socket = stream.as_fd().try_clone_to_owned().ok();
        let (reader, writer) = stream.into_split();
        let reader = io::Cursor::new(early).chain(reader);
        Self { reader: Box::new(reader), writer: Box::new(writer), socket }
    }

    fn tcp(early: Bytes, stream: TcpStream) -> Self {
        let socket = stream.as_fd().try_clone_to_owned().ok();
        let (reader, writer) = stream.into_split();
        let reader = io::Cursor::new(early).chain(reader);
        Self { reader: Box::new(reader), writer: Box::new(writer), socket }
    }

    fn other(stream: Upgraded) -> Self {
        let (reader, writer) = tokio::io::split(TokioIo::new(stream));
        Self { reader: Box::new(reader), writer: Box::new(writer), socket: None }
    }

    /// Moves bytes until the container has no more, or the client is gone.
    ///
    /// What the client still sends then is dropped.
    async fn converse(mut self, before: Option<ByteStream>, live: Option<Duplex>) {
        if let Some(mut before) = before {
            while let Some(Ok(bytes)) = before.next().await {
                if self.writer.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
        if let Some(live) = live {
            let (mut output, mut input) = tokio::io::split(live);
            let inward = async {
                let ended = pump(&mut self.reader, &mut input).await;
                let _ = input.shutdown().await;
                if let Err(error) = ended {
                    tracing::debug!(%error, "input of a container ended");
                }
                // The client has no more to say, or the container does not listen: output decides when this is over.
                hang_up(self.socket).await;
            };
            tokio::select! {
                () = inward => {}
                outcome = pump(&mut output, &mut self.writer) => {
                    if let Err(error) = outcome {
                        tracing::debug!(%error, "output of a container ended");
                    }
                }
            }
        }
        let _ = self.writer.shutdown().await;
    }
}

/// Waits until the far end neither reads nor writes any more; for ever where that cannot be known.
async fn hang_up(socket: Option<OwnedFd>) {
    // Whichever family the socket is of: it is only waited on, and every hang-up wakes who waits for room.
    let watched = socket.and_then(|socket| UnixStream::from_std(socket.into()).ok());
    let Some(watched) = watched else { return std::future::pending().await };
    let gone = || if is_hung_up(&watched) { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) };
    let _ = watched.async_io(Interest::WRITABLE, gone).await;
}

fn is_hung_up(socket: &UnixStream) -> bool {
    let mut poll = [PollFd::new(socket, PollFlags::empty())];
    rustix::event::poll(&mut poll, Some(&Timespec::default())).is_err() || !poll[0].revents().is_empty()
}

/// Copies until the end of `from`, each read passed on at once.
async fn pump(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
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

    fn client(stream: UnixStream) -> Client {
        Client::unix(Bytes::from_static(b"early "), stream)
    }

    #[tokio::test]
    async fn end_of_input_does_not_end_output() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (container, mut inside) = tokio::io::duplex(64);
        let task = tokio::spawn(client(near).converse(None, Some(Box::new(container))));
        far.write_all(b"in").await.unwrap();
        far.shutdown().await.unwrap();
        let mut got = Vec::new();
        inside.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"early in");
        inside.write_all(b"out").await.unwrap();
        drop(inside);
        let mut answer = Vec::new();
        far.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"out");
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_left_ends_the_connection_of_a_silent_container() {
        for half_first in [true, false] {
            let (near, mut far) = UnixStream::pair().unwrap();
            let (container, _inside) = tokio::io::duplex(64);
            let mut task = tokio::spawn(client(near).converse(None, Some(Box::new(container))));
            if half_first {
                far.shutdown().await.unwrap();
                let waited = tokio::time::timeout(Duration::from_millis(50), &mut task).await;
                assert!(waited.is_err(), "a client that still reads stays");
            }
            drop(far);
            tokio::time::timeout(Duration::from_secs(5), task).await.expect("it ends").unwrap();
        }
    }
}
