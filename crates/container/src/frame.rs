//! A terminal's bytes as frames of standard output, for clients that did not say they have a terminal.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use berth_spec::stream::{HEADER_LEN, Stream, header};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::Duplex;

/// Most bytes of one frame.
const PAYLOAD_MAX: usize = 16 << 10;

/// `connection`, with a header before all that is read from it at once.
pub(crate) fn as_output(connection: Duplex) -> Duplex {
    Box::new(Framed { connection, frame: Vec::new(), given: 0 })
}

struct Framed {
    connection: Duplex,
    /// The frame that is being handed over, and how much of it was.
    frame: Vec<u8>,
    given: usize,
}

impl AsyncRead for Framed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.given == this.frame.len() {
            this.frame.resize(HEADER_LEN + PAYLOAD_MAX, 0);
            let mut payload = ReadBuf::new(&mut this.frame[HEADER_LEN..]);
            let outcome = Pin::new(&mut this.connection).poll_read(context, &mut payload);
            let length = payload.filled().len();
            if !matches!(outcome, Poll::Ready(Ok(()))) || length == 0 {
                this.frame.clear();
                this.given = 0;
                return outcome;
            }
            this.frame[..HEADER_LEN].copy_from_slice(&header(Stream::Stdout, length));
            this.frame.truncate(HEADER_LEN + length);
            this.given = 0;
        }
        let rest = &this.frame[this.given..];
        let count = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..count]);
        this.given += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Framed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(ready!(Pin::new(&mut self.connection).poll_write(context, bytes))?))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_is_read_at_once_is_one_frame() {
        let (near, mut terminal) = tokio::io::duplex(64);
        let mut client = as_output(Box::new(near));
        terminal.write_all(b"hello").await.unwrap();
        let mut head = [0; 3];
        client.read_exact(&mut head).await.unwrap();
        terminal.write_all(b"again").await.unwrap();
        drop(terminal);
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        let all = [&head[..], &rest].concat();
        assert_eq!(all, [&[1, 0, 0, 0, 0, 0, 0, 5][..], b"hello", &[1, 0, 0, 0, 0, 0, 0, 5], b"again"].concat());
    }
}
