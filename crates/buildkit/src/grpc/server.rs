//! Calls from the other side.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::frame::{Incoming, Outgoing};
use super::{CALLS, CONNECTION_WINDOW, HEADER_BYTES, STREAM_WINDOW, Status};
use crate::proto::session::BytesMessage;

/// How long the rest of a request is read for.
const DRAIN: Duration = Duration::from_millis(500);

/// Bytes that one message carries through a call.
const CARRIED: usize = 32 << 10;

/// What answers calls.
pub trait Service: Send + Sync + 'static {
    /// Answers one call, by its path `/package.Service/Method`.
    fn call(self: Arc<Self>, path: String, call: Call) -> BoxFuture<'static, ()>;
}

/// One call from the other side.
pub struct Call {
    headers: HeaderMap,
    incoming: Incoming,
    respond: SendResponse<Bytes>,
    answer: Option<Outgoing>,
}

/// Serves calls on `connection` until it ends. Each call is a task of its own, ended with the connection.
///
/// # Errors
/// What ended the connection before its time.
pub async fn serve<S>(connection: S, service: Arc<dyn Service>) -> Result<(), h2::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut connection = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(CALLS)
        .max_header_list_size(HEADER_BYTES)
        .handshake::<S, Bytes>(connection)
        .await?;
    let mut calls = tokio::task::JoinSet::new();
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let path = request.uri().path().to_owned();
        calls.spawn(Arc::clone(&service).call(path, Call::new(request, respond)));
        while calls.try_join_next().is_some() {}
    }
    // A client that left is no longer waited for.
    calls.shutdown().await;
    Ok(())
}

impl Call {
    fn new(request: Request<h2::RecvStream>, respond: SendResponse<Bytes>) -> Self {
        let (parts, body) = request.into_parts();
        Self { headers: parts.headers, incoming: Incoming::new(body), respond, answer: None }
    }

    /// A header of the call.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// All headers of the call.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Carries bytes: the call's messages into `pipe`, what comes out of it as the answer. Ends with either side.
    pub async fn carry(mut self, pipe: impl AsyncRead + AsyncWrite) {
        if let Err(status) = self.begin() {
            tracing::debug!(%status, "a caller left before its answer");
            return;
        }
        let Self { mut incoming, answer: Some(mut answer), .. } = self else { return };
        let (mut reader, mut writer) = tokio::io::split(pipe);
        let inward = async {
            while let Ok(Some(BytesMessage { data })) = incoming.next().await {
                if writer.write_all(&data).await.is_err() {
                    return;
                }
            }
        };
        let outward = async {
            let mut buffer = vec![0; CARRIED];
            while let Ok(read @ 1..) = reader.read(&mut buffer).await {
                if answer.send(&BytesMessage { data: buffer[..read].to_vec() }).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = inward => {}
            () = outward => {}
        }
        let _ = answer.trailers(Status::ok());
    }

    /// The call's next message.
    ///
    /// # Errors
    /// [`Status`] when it cannot be read.
    pub async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        self.incoming.next().await
    }

    /// The call's only message.
    ///
    /// # Errors
    /// [`Status`] when there is none, or it cannot be read.
    pub async fn request<M: Message + Default>(&mut self) -> Result<M, Status> {
        self.next().await?.ok_or_else(|| Status::invalid("the call holds no message"))
    }

    /// Sends one message of the answer.
    ///
    /// # Errors
    /// [`Status`] when the caller left.
    pub async fn send(&mut self, message: &impl Message) -> Result<(), Status> {
        self.begin()?.send(message).await
    }

    fn begin(&mut self) -> Result<&mut Outgoing, Status> {
        if self.answer.is_none() {
            let stream = self.respond.send_response(headers(), false)?;
            self.answer = Some(Outgoing::new(stream));
        }
        self.answer.as_mut().ok_or_else(|| Status::gone("the answer cannot begin"))
    }

    /// Ends the answer: with its one message, or with what failed.
    pub async fn reply<M: Message>(mut self, outcome: Result<M, Status>) {
        // A request that was not read to its end would be reset, perhaps before its answer arrives.
        let rest = async { while let Ok(Some(crate::proto::Empty {})) = self.incoming.next().await {} };
        let _ = tokio::time::timeout(DRAIN, rest).await;
        let ended = match outcome {
            Ok(message) => match self.send(&message).await {
                Ok(()) => self.end(Ok(())),
                Err(status) => Err(status),
            },
            Err(status) => self.end(Err(status)),
        };
        if let Err(status) = ended {
            tracing::debug!(%status, "a caller left before its answer");
        }
    }

    /// Ends an answer of several messages.
    pub async fn finish(mut self, outcome: Result<(), Status>) {
        if let Err(status) = self.end(outcome) {
            tracing::debug!(%status, "a caller left before its answer");
        }
    }

    fn end(&mut self, outcome: Result<(), Status>) -> Result<(), Status> {
        let trailers = match outcome {
            Ok(()) => Status::ok(),
            Err(status) => status.trailers(),
        };
        self.begin()?.trailers(trailers)
    }

    /// Runs `work` unless the caller cancels the call first.
    pub async fn unless_cancelled<T>(&mut self, work: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let outgoing = self.begin()?;
        tokio::select! {
            outcome = work => outcome,
            () = outgoing.reset() => Err(Status::new(super::Code::Cancelled, "the call was cancelled")),
        }
    }
}

fn headers() -> Response<()> {
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
