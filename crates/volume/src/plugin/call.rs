//! One question to a plugin: a POST with JSON over HTTP/1.1, on a connection of its own.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

use super::discover::Address;
use crate::{Error, Result};

/// The protocol's media type.
const MEDIA_TYPE: &str = "application/vnd.docker.plugins.v1.1+json";
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A plugin's place, and who it is in errors.
#[derive(Debug)]
pub struct Line {
    pub driver: String,
    pub address: Address,
}

impl Line {
    /// Asks, and returns status and body. Blocks, at most for `patience`.
    pub fn ask(&self, call: &'static str, body: Vec<u8>, patience: Duration) -> Result<(StatusCode, Bytes)> {
        let runtime = tokio::runtime::Handle::current();
        match runtime.block_on(async { tokio::time::timeout(patience, self.exchange(call, body)).await }) {
            Ok(outcome) => outcome.map_err(|error| self.unreachable(&error)),
            Err(_) => Err(Error::Hung {
                driver: self.driver.clone(),
                call,
                seconds: patience.as_secs(),
                address: self.address.to_string(),
            }),
        }
    }

    fn unreachable(&self, error: &io::Error) -> Error {
        Error::Unreachable { driver: self.driver.clone(), address: self.address.to_string(), reason: error.to_string() }
    }

    async fn exchange(&self, call: &str, body: Vec<u8>) -> io::Result<(StatusCode, Bytes)> {
        match &self.address {
            Address::Unix(path) => talk(UnixStream::connect(path).await?, call, body).await,
            Address::Tcp(place) => talk(TcpStream::connect(place).await?, call, body).await,
            Address::Refused { why, .. } => Err(io::Error::new(io::ErrorKind::Unsupported, why.clone())),
        }
    }
}

async fn talk(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    call: &str,
    body: Vec<u8>,
) -> io::Result<(StatusCode, Bytes)> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let request = Request::post(format!("/{call}"))
        .header(header::HOST, "plugin")
        .header(header::ACCEPT, MEDIA_TYPE)
        .header(header::CONTENT_TYPE, MEDIA_TYPE)
        .body(Full::new(Bytes::from(body)))
        .map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(io::Error::other)?;
        Ok((status, body.to_bytes()))
    };
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        done = &mut answer => done,
        // The plugin may close behind its answer, which is then already here.
        ended = &mut connection => {
            ended.map_err(io::Error::other)?;
            answer.await
        }
    }
}
