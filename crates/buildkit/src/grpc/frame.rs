//! Messages in the bytes of a stream: one byte for compression, four for the length, the message.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};
use prost::Message;

use super::{Code, MESSAGE_BYTES, Status};

/// Bytes in front of each message.
const PREFIX: usize = 5;

/// Messages as they arrive.
pub(super) struct Incoming {
    body: Body,
    buffer: BytesMut,
}

/// An answer's messages follow its headers.
enum Body {
    Later(ResponseFuture),
    Here(RecvStream),
    Over,
}

impl Incoming {
    /// The messages of a request.
    pub(super) fn new(body: RecvStream) -> Self {
        Self { body: Body::Here(body), buffer: BytesMut::new() }
    }

    /// The messages of an answer that may not have begun.
    pub(super) fn later(response: ResponseFuture) -> Self {
        Self { body: Body::Later(response), buffer: BytesMut::new() }
    }

    /// The next message of an answer; at its end its status is read.
    pub(super) async fn next_of_answer<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        if let Body::Later(response) = &mut self.body {
            let response = response.await?;
            // An answer of headers alone carries its status in them.
            if response.headers().contains_key("grpc-status") {
                Status::read(response.headers())?;
            }
            if response.status() != http::StatusCode::OK {
                return Err(Status::new(Code::Unknown, format!("the answer is HTTP {}", response.status())));
            }
            self.body = Body::Here(response.into_body());
        }
        if let Some(message) = self.next().await? {
            return Ok(Some(message));
        }
        if let Body::Here(body) = &mut self.body
            && let Some(trailers) = body.trailers().await?
        {
            Status::read(&trailers)?;
        }
        self.body = Body::Over;
        Ok(None)
    }

    /// The next message, none at the proper end.
    pub(super) async fn next<M: Message + Default>(&mut self) -> Result<Option<M>, Status> {
        let Some(bytes) = self.next_bytes().await? else { return Ok(None) };
        M::decode(bytes).map(Some).map_err(|error| Status::invalid(format!("a message cannot be read: {error}")))
    }

    async fn next_bytes(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(Some(message));
            }
            let Body::Here(body) = &mut self.body else { return Ok(None) };
            match body.data().await {
                Some(chunk) => {
                    let chunk = chunk?;
                    body.flow_control().release_capacity(chunk.len())?;
                    self.buffer.extend_from_slice(&chunk);
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(Status::invalid("the stream ended inside of a message")),
            }
        }
    }

    fn take(&mut self) -> Result<Option<Bytes>, Status> {
        if self.buffer.len() < PREFIX {
            return Ok(None);
        }
        if self.buffer[0] != 0 {
            return Err(Status::new(Code::Unimplemented, "compressed messages are not taken"));
        }
        let length = u32::from_be_bytes([self.buffer[1], self.buffer[2], self.buffer[3], self.buffer[4]]) as usize;
        if length > MESSAGE_BYTES {
            let message = format!("a message of {length} bytes is larger than {MESSAGE_BYTES}");
            return Err(Status::new(Code::ResourceExhausted, message));
        }
        if self.buffer.len() < PREFIX + length {
            return Ok(None);
        }
        self.buffer.advance(PREFIX);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

/// Messages as they leave.
pub(super) struct Outgoing {
    stream: SendStream<Bytes>,
}

impl Outgoing {
    pub(super) fn new(stream: SendStream<Bytes>) -> Self {
        Self { stream }
    }

    /// Sends one message; waits while the other side takes no more.
    pub(super) async fn send(&mut self, message: &impl Message) -> Result<(), Status> {
        let length = message.encoded_len();
        let mut bytes = BytesMut::with_capacity(PREFIX + length);
        bytes.put_u8(0);
        bytes.put_u32(u32::try_from(length).map_err(|_| Status::invalid("a message is too long"))?);
        message.encode(&mut bytes).map_err(|error| Status::new(Code::Internal, error.to_string()))?;
        let mut rest = bytes.freeze();
        while !rest.is_empty() {
            self.stream.reserve_capacity(rest.len());
            let granted = std::future::poll_fn(|context| self.stream.poll_capacity(context)).await;
            let granted = granted.ok_or_else(|| Status::gone("the other side closed the stream"))??;
            let now = rest.split_to(granted.min(rest.len()));
            self.stream.send_data(now, false)?;
        }
        Ok(())
    }

    /// No more messages from a client. One that the other side has ended already needs no end.
    pub(super) fn finish(&mut self) {
        if let Err(error) = self.stream.send_data(Bytes::new(), true) {
            tracing::trace!(%error, "a call had ended");
        }
    }

    /// The end of an answer.
    pub(super) fn trailers(&mut self, trailers: http::HeaderMap) -> Result<(), Status> {
        Ok(self.stream.send_trailers(trailers)?)
    }

    /// Waits until the other side resets the stream: a call that is cancelled.
    pub(super) async fn reset(&mut self) {
        let _ = std::future::poll_fn(|context| self.stream.poll_reset(context)).await;
    }
}
