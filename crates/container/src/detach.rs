//! Detach keys: a sequence typed on a terminal that ends the connection, not the container.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{Duplex, Error, Result};

/// `ctrl-p,ctrl-q`.
const DEFAULT: &[u8] = &[16, 17];

/// Reads `ctrl-p,ctrl-q`, `a,b`, `ctrl-@`.
///
/// # Errors
/// [`Error::Invalid`] with Docker's text.
pub(crate) fn parse(text: Option<&str>) -> Result<Vec<u8>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(DEFAULT.to_vec()) };
    let refuse =
        |key: &str| Error::Invalid(format!("Invalid detach keys ({text}) provided: Unknown character: '{key}'"));
    text.split(',')
        .map(|key| match key.as_bytes() {
            [byte] => Ok(*byte),
            [b'c', b't', b'r', b'l', b'-', key] => match key {
                b'a'..=b'z' => Ok(key - b'a' + 1),
                b'@' => Ok(0),
                b'[' => Ok(27),
                b'\\' => Ok(28),
                b']' => Ok(29),
                b'^' => Ok(30),
                b'_' => Ok(31),
                _ => Err(refuse(text)),
            },
            _ => Err(refuse(key)),
        })
        .collect()
}

/// `connection`, which ends for its client when these keys are typed.
pub(crate) fn on_keys(connection: Duplex, keys: Vec<u8>) -> Duplex {
    Box::new(Detachable { connection, keys, matched: 0, pending: Vec::new(), detached: false, reader: None })
}

struct Detachable {
    connection: Duplex,
    keys: Vec<u8>,
    /// How many of the keys were typed just now; they are held back until the sequence is broken.
    matched: usize,
    /// Bytes that wait to be written.
    pending: Vec<u8>,
    detached: bool,
    /// Whoever reads is told of the end.
    reader: Option<std::task::Waker>,
}

impl Detachable {
    /// Takes typed bytes: those that surely are no detach keys become pending.
    fn take(&mut self, typed: &[u8]) {
        for byte in typed {
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.detached = true;
                    return;
                }
                continue;
            }
            self.pending.extend_from_slice(&self.keys[..self.matched]);
            self.matched = 0;
            if *byte == self.keys[0] && self.keys.len() > 1 {
                self.matched = 1;
            } else {
                self.pending.push(*byte);
            }
        }
    }

    fn write_pending(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pending.is_empty() {
            let written = ready!(Pin::new(&mut self.connection).poll_write(context, &self.pending))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.pending.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Detachable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.detached {
            return Poll::Ready(Ok(()));
        }
        self.reader = Some(context.waker().clone());
        Pin::new(&mut self.connection).poll_read(context, buffer)
    }
}

impl AsyncWrite for Detachable {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, typed: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.write_pending(context))?;
        if self.detached {
            return Poll::Ready(Ok(typed.len()));
        }
        self.take(typed);
        if self.detached
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
        // What does not fit now goes with the next write or flush; it was taken all the same.
        let _ = self.write_pending(context)?;
        Poll::Ready(Ok(typed.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_pending(context))?;
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_pending(context))?;
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}

/// A connection that says one thing and ends.
pub(crate) fn saying(text: &str, tty: bool) -> Duplex {
    let mut bytes = Vec::new();
    if !tty {
        bytes.extend_from_slice(&berth_spec::stream::header(berth_spec::stream::Stream::Stdout, text.len()));
    }
    bytes.extend_from_slice(text.as_bytes());
    Box::new(tokio::io::join(io::Cursor::new(bytes), tokio::io::sink()))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[test]
    fn keys_are_read() {
        assert_eq!(parse(None).unwrap(), DEFAULT);
        assert_eq!(parse(Some("ctrl-a,x,ctrl-@")).unwrap(), [1, b'x', 0]);
        for bad in ["ctrl-", "ctrl-A1", "ab", ",", "ctrl-é"] {
            assert!(parse(Some(bad)).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn keys_end_the_connection_and_nothing_else_is_lost() {
        let (near, mut container) = tokio::io::duplex(64);
        let mut client = on_keys(Box::new(near), DEFAULT.to_vec());
        client.write_all(b"a\x10b\x10").await.unwrap();
        client.write_all(b"\x10\x11").await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        drop(client);
        let mut got = Vec::new();
        container.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, b"a\x10b\x10");
    }
}
