//! Bodies of answers: bytes, a part of a file, or a stream.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::lane::{Lane, PIECE_BYTES};

/// Read at once where the file must pass through the program.
const READ_BYTES: usize = 256 * 1024;
/// Pieces ahead of the socket.
const AHEAD: usize = 2;

/// A body.
#[derive(Debug)]
pub enum Payload {
    /// Bytes, or nothing.
    Whole(Option<Bytes>),
    /// A file, sent by the kernel.
    Lane {
        /// Of the connection.
        lane: Arc<Lane>,
        /// What to send.
        file: Arc<File>,
        /// From where.
        offset: u64,
        /// How much.
        left: u64,
    },
    /// What comes through a channel.
    Stream {
        /// Pieces.
        pieces: mpsc::Receiver<io::Result<Bytes>>,
        /// How much there will be.
        left: u64,
    },
}

impl Payload {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self::Whole(None)
    }

    /// Bytes.
    #[must_use]
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }

    /// A part of a file; by the kernel where the connection has a lane.
    #[must_use]
    pub fn file(file: File, offset: u64, length: u64, lane: Option<&Arc<Lane>>) -> Self {
        let file = Arc::new(file);
        match lane {
            Some(lane) => Self::Lane { lane: Arc::clone(lane), file, offset, left: length },
            None => {
                let (sender, pieces) = mpsc::channel(AHEAD);
                tokio::spawn(read(file, offset, length, sender));
                Self::Stream { pieces, left: length }
            }
        }
    }

    fn left(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::Lane { left, .. } | Self::Stream { left, .. } => *left,
        }
    }
}

async fn read(file: Arc<File>, offset: u64, length: u64, pieces: mpsc::Sender<io::Result<Bytes>>) {
    let mut done = 0;
    while done < length {
        let wanted = usize::try_from((length - done).min(READ_BYTES as u64)).unwrap_or(READ_BYTES);
        let piece = piece(&file, offset + done, wanted).await;
        done += wanted as u64;
        let is_end = piece.is_err();
        if pieces.send(piece).await.is_err() || is_end {
            return;
        }
    }
}

/// Reads exactly `length` bytes at `offset`.
///
/// # Errors
/// The kernel's, also for the end of the file.
pub async fn piece(file: &Arc<File>, offset: u64, length: usize) -> io::Result<Bytes> {
    let file = Arc::clone(file);
    let work = move || {
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset).map(|()| Bytes::from(bytes))
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Lane { left: 0, .. } => Poll::Ready(None),
            Self::Lane { lane, file, offset, left } => {
                let length = usize::try_from(*left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
                let piece = lane.piece(file, *offset, length);
                *offset += length as u64;
                *left -= length as u64;
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Self::Stream { pieces, left } => pieces.poll_recv(context).map(|piece| {
                let piece = piece?;
                if let Ok(bytes) = &piece {
                    *left = left.saturating_sub(bytes.len() as u64);
                }
                Some(piece.map(Frame::data))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}
