//! Calls to the other side of a session.

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};

use super::frame::{Incoming, Outgoing};
use super::{CALLS, CONNECTION_WINDOW, Code, HEADER_BYTES, Metadata, STREAM_WINDOW, Status};

/// A connection on which calls are made; clones share it.
#[derive(Clone)]
pub struct Channel {
    requests: SendRequest<Bytes>,
}

/// The way out of a call that streams.
pub struct Sender(Outgoing);

/// The way in of a call that streams.
pub struct Receiver(Incoming);

/// A call that streams both ways.
pub struct Duplex {
    /// What is sent.
    pub sender: Sender,
    /// What comes back.
    pub receiver: Receiver,
}

impl Channel {
    /// Speaks HTTP/2 over `connection` at once. The future drives the connection and ends with it.
    ///
    /// # Errors
    /// [`Status`] when the other side does not answer as HTTP/2.
    pub async fn open<S>(connection: S) -> Result<(Self, impl Future<Output = Result<(), h2::Error>>), Status>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (requests, driver) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(CALLS)
            .max_header_list_size(HEADER_BYTES)
            .enable_push(false)
            .handshake(connection)
            .await?;
        Ok((Self { requests }, driver))
    }

    /// One request, one answer.
    ///
    /// # Errors
    /// The [`Status`] that the other side answers with, or that it is gone.
    pub async fn unary<M: Message + Default>(
        &self,
        path: &str,
        metadata: &Metadata,
        request: &impl Message,
    ) -> Result<M, Status> {
        let mut call = self.duplex_of(path, metadata, Some(request)).await?;
        let answer = call.receiver.next().await?;
        let answer = answer.ok_or_else(|| Status::new(Code::Internal, "the answer holds no message"))?;
        // The status stands behind the message.
        while call.receiver.next::<M>().await?.is_some() {}
        Ok(answer)
    }

    /// A stream both ways.
    ///
    /// # Errors
    /// As [`Channel::unary`].
    pub async fn duplex(&self, path: &str, metadata: &Metadata) -> Result<Duplex, Status> {
        self.duplex_of(path, metadata, None::<&super::super::proto::Empty>).await
    }

    async fn duplex_of(&self, path: &str, metadata: &Metadata, only: Option<&impl Message>) -> Result<Duplex, Status> {
        let mut request = Request::builder()
            .method("POST")
            .uri(format!("http://localhost{path}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        for (name, value) in metadata {
            request = request.header(name.as_str(), value.as_str());
        }
        let request = request.body(()).map_err(|error| Status::invalid(error.to_string()))?;
        let mut requests = self.requests.clone().ready().await?;
        let (response, stream) = requests.send_request(request, false)?;
        let mut outgoing = Outgoing::new(stream);
        if let Some(only) = only {
            outgoing.send(only).await?;
            outgoing.finish();
        }
        Ok(Duplex { sender: Sender(outgoing), receiver: Receiver(Incoming::later(response)) })
    }
}

impl Sender {
    /// Sends one message; waits while the other side takes no more.
    ///
    /// # Errors
    /// [`Status`] when the other side closed the call; [`Receiver::next`] has its reason.
    pub async fn send(&mut self, message: &impl Message) -> Result<(), Status> {
        self.0.send(message).await
    }

    /// No more messages.
    pub fn finish(&mut self) {
        self.0.finish();
    }
}

impl Receiver {
    /// The next message, none at the proper end.
    ///
    /// # Errors
    /// The [`Status`] that the other side ended with.
    pub async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        self.0.next_of_answer().await
    }
}
