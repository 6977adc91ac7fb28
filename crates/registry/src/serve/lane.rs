//! Files that go to a socket without passing through this program (sendfile(2)).
//!
//! hyper writes what a body gives it and knows nothing of files. So a body gives it pieces of a region of memory that
//! nobody reads, and notes in the connection's lane which part of which file each piece stands for; the socket below
//! hyper recognises the region's addresses and sends the file's bytes in their place. Bodies and headers of one
//! connection pass in order, so the lane is a queue. hyper does not copy pieces when the socket takes several at once,
//! which it says it does.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// Size of the region, and so of the largest piece.
pub const PIECE_BYTES: usize = 1 << 20;

/// Never written, so it costs addresses only.
fn region() -> &'static [u8] {
    static REGION: OnceLock<&'static [u8]> = OnceLock::new();
    REGION.get_or_init(|| vec![0; PIECE_BYTES].leak())
}

/// What the pieces stand for that hyper has and the socket has not sent yet.
#[derive(Debug, Default)]
pub struct Lane {
    parts: Mutex<VecDeque<Part>>,
}

#[derive(Debug)]
struct Part {
    file: Arc<File>,
    offset: u64,
    left: usize,
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the piece that stands for `length` bytes, at most [`PIECE_BYTES`], of a file.
    #[must_use]
    pub fn piece(&self, file: &Arc<File>, offset: u64, length: usize) -> Bytes {
        let length = length.min(PIECE_BYTES);
        self.lock().push_back(Part { file: Arc::clone(file), offset, left: length });
        Bytes::from_static(&region()[..length])
    }
}

/// Whether a slice stands for a part of a file.
fn stands(slice: &[u8]) -> bool {
    !slice.is_empty() && region().as_ptr_range().contains(&slice.as_ptr())
}

/// A TCP connection with its lane.
#[derive(Debug)]
pub struct Laned {
    stream: TcpStream,
    lane: Arc<Lane>,
}

impl Laned {
    /// Puts a lane on a connection.
    #[must_use]
    pub fn new(stream: TcpStream, lane: Arc<Lane>) -> Self {
        Self { stream, lane }
    }

    fn poll_send(&self, context: &mut Context<'_>, length: usize) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            let mut parts = self.lane.lock();
            let part = parts.front_mut().ok_or_else(|| io::Error::other("a piece stands for nothing"))?;
            let wanted = length.min(part.left);
            let sent = self.stream.try_io(Interest::WRITABLE, || {
                Ok(rustix::fs::sendfile(&self.stream, &*part.file, Some(&mut part.offset), wanted)?)
            });
            match sent {
                // The file is shorter than it was: the connection ends before it says anything wrong.
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => {
                    part.left -= count;
                    if part.left == 0 {
                        parts.pop_front();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncRead for Laned {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Laned {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if stands(buffer) {
            return self.poll_send(context, buffer.len());
        }
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = buffers.iter().position(|buffer| !buffer.is_empty()).unwrap_or(0);
        let buffers = &buffers[first..];
        let plain = buffers.iter().position(|buffer| stands(buffer)).unwrap_or(buffers.len());
        if plain == 0 && !buffers.is_empty() {
            return self.poll_send(context, buffers[0].len());
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, &buffers[..plain])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
