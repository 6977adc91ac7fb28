//! What a request carries: nothing, some bytes, or a part of a file.

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

/// Bytes in a piece read from a file, and pieces read ahead.
const PIECE_BYTES: u64 = 256 * 1024;
const PIECES: usize = 4;

/// Gets the number of bytes of a source that have been sent.
pub type Told = Arc<dyn Fn(u64) + Send + Sync>;

/// Where a request's body comes from; can be sent again.
#[derive(Clone, Default)]
pub enum Source {
    /// No body.
    #[default]
    Empty,
    /// In memory.
    Bytes(Bytes),
    /// `length` bytes of a file after its first `from` bytes.
    File { file: Arc<File>, from: u64, length: u64, told: Option<Told> },
}

impl Source {
    /// The body to send.
    pub fn payload(&self) -> Payload {
        match self {
            Self::Empty => Payload { pieces: Pieces::Here(None), left: 0 },
            Self::Bytes(bytes) => Payload { pieces: Pieces::Here(Some(bytes.clone())), left: bytes.len() as u64 },
            Self::File { file, from, length, told } => {
                let (sender, receiver) = mpsc::channel(PIECES);
                let (file, from, length, told) = (Arc::clone(file), *from, *length, told.clone());
                tokio::task::spawn_blocking(move || read(&file, from, length, told.as_ref(), &sender));
                Payload { pieces: Pieces::Coming(receiver), left: length }
            }
        }
    }
}

fn read(file: &File, from: u64, length: u64, told: Option<&Told>, pieces: &mpsc::Sender<io::Result<Bytes>>) {
    let mut done = 0;
    while done < length {
        let mut piece = vec![0; usize::try_from(PIECE_BYTES.min(length - done)).unwrap_or(0)];
        let outcome = file.read_exact_at(&mut piece, from + done);
        let is_end = outcome.is_err();
        done += piece.len() as u64;
        // Whoever wants no more bytes has its reasons.
        if pieces.blocking_send(outcome.map(|()| Bytes::from(piece))).is_err() || is_end {
            return;
        }
        if let Some(told) = told {
            told(from + done);
        }
    }
}

/// A request's body under way.
#[derive(Debug)]
pub struct Payload {
    pieces: Pieces,
    left: u64,
}

#[derive(Debug)]
enum Pieces {
    Here(Option<Bytes>),
    Coming(mpsc::Receiver<io::Result<Bytes>>),
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let piece = match &mut self.pieces {
            Pieces::Here(bytes) => bytes.take().filter(|bytes| !bytes.is_empty()).map(Ok),
            Pieces::Coming(receiver) => match receiver.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(piece) => piece,
            },
        };
        if let Some(Ok(piece)) = &piece {
            self.left = self.left.saturating_sub(piece.len() as u64);
        }
        Poll::Ready(piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
