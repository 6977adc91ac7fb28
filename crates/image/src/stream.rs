//! Between asynchronous byte streams and the synchronous readers and writers of archives.

use std::io::{self, Read, Write};

use berth_spec::progress::Progress;
use bytes::{Buf, Bytes};
use futures_util::{StreamExt, stream::BoxStream};
use tokio::{runtime::Handle, sync::mpsc};

/// Bytes that come piece by piece.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Where lines of progress go; a receiver that is gone is no error.
pub type ProgressSender = mpsc::Sender<Progress>;

/// Pieces under way between an archive's writer and its receiver.
const PIECES: usize = 8;

/// Reads a stream from a thread that may block.
pub struct StreamReader {
    stream: ByteStream,
    piece: Bytes,
    runtime: Handle,
}

impl StreamReader {
    /// Must be called inside a runtime; the reader is used outside of its workers.
    pub fn new(stream: ByteStream) -> Self {
        Self { stream, piece: Bytes::new(), runtime: Handle::current() }
    }
}

impl Read for StreamReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                None => return Ok(0),
                Some(piece) => self.piece = piece?,
            }
        }
        let length = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// Runs `write` on a thread that may block and streams what it writes; its error ends the stream.
pub fn written<E: std::error::Error + Send + Sync + 'static>(
    write: impl FnOnce(&mut dyn Write) -> Result<(), E> + Send + 'static,
) -> ByteStream {
    let (sender, receiver) = mpsc::channel(PIECES);
    tokio::task::spawn_blocking(move || {
        let pieces = Pieces { sender: sender.clone() };
        let mut output = io::BufWriter::with_capacity(berth_archive::BUFFER_BYTES, pieces);
        let outcome = write(&mut output).map_err(io::Error::other).and_then(|()| output.flush());
        if let Err(error) = outcome {
            // A receiver that has gone away wants no error either.
            let _ = sender.blocking_send(Err(error));
        }
    });
    let next = |mut receiver: mpsc::Receiver<io::Result<Bytes>>| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    };
    futures_util::stream::unfold(receiver, next).boxed()
}

struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(gone)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends a line of progress from a thread that may block.
pub fn tell(progress: Option<&ProgressSender>, line: Progress) {
    if let Some(progress) = progress {
        // Nobody listens any more: the work goes on.
        let _ = progress.blocking_send(line);
    }
}
