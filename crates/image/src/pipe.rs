//! Between a compressed blob and whoever unpacks it: decompression and hashes on threads of their own, so that all
//! processors have something to do even for one layer.
//!
//! ```text
//! blob ─► decompress (thread) ─┬─► pieces ─► unpack (the caller's thread)
//!                              └─► the same pieces ─► SHA-256 (thread)
//! ```

use std::{
    io::{self, BufRead, Read},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use berth_archive::{compression, hash::Hashing};
use berth_spec::Digest;

use crate::Result;

/// Bytes in a piece, and pieces under way.
const PIECE_BYTES: usize = 256 * 1024;
const PIECES: usize = 6;

/// What was inside of a blob.
pub struct Inside {
    /// Digest of the blob as it is.
    pub blob: Digest,
    /// Digest of the archive in it.
    pub archive: Digest,
    pub archive_bytes: u64,
}

/// Buffers that are used again: fresh ones cost the kernel a fault for each page.
#[derive(Default)]
struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_else(|| vec![0; PIECE_BYTES])
    }
}

/// Some bytes of an archive.
struct Piece {
    bytes: Vec<u8>,
    length: usize,
    home: Arc<Buffers>,
}

impl Drop for Piece {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.home.0.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
    }
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// Gives `unpack` the archive inside of `blob`; gives what it gives, and what was read. With `is_whole`, the blob is
/// read to its end, so that its digest is right.
pub fn through<T>(
    mut blob: Hashing<impl Read + Send>,
    is_whole: bool,
    unpack: impl FnOnce(Archive) -> T,
) -> (T, Result<Inside>) {
    let (sender, receiver) = sync_channel(PIECES);
    let (to_hash, hashed) = sync_channel::<Arc<Piece>>(PIECES);
    std::thread::scope(|scope| {
        let hashing = scope.spawn(move || {
            let mut hash = Hashing::new(io::sink());
            while let Ok(piece) = hashed.recv() {
                hash.pass(piece.bytes());
            }
            let (_, digest, bytes) = hash.finish();
            (digest, bytes)
        });
        let reading = scope.spawn(move || {
            let outcome = read(&mut blob, is_whole, &sender, &to_hash);
            drop((sender, to_hash));
            outcome.map(|()| blob.finish().1)
        });
        let unpacked = unpack(Archive { receiver, piece: None, position: 0 });
        let (blob, archive) = (reading.join(), hashing.join());
        match (blob, archive) {
            (Ok(blob), Ok((archive, archive_bytes))) => {
                (unpacked, blob.map(|blob| Inside { blob, archive, archive_bytes }))
            }
            (Err(panic), _) | (_, Err(panic)) => std::panic::resume_unwind(panic),
        }
    })
}

/// Decompresses and hands the pieces on, to the hash and to whoever unpacks.
fn read(
    blob: &mut Hashing<impl Read + Send>,
    is_whole: bool,
    sender: &SyncSender<io::Result<Arc<Piece>>>,
    to_hash: &SyncSender<Arc<Piece>>,
) -> Result<()> {
    let home = Arc::new(Buffers::default());
    let mut archive = compression::decoder(&mut *blob)?;
    loop {
        let mut bytes = home.take();
        let (length, failure) = fill(&mut archive, &mut bytes);
        let piece = Arc::new(Piece { bytes, length, home: Arc::clone(&home) });
        let is_end = length < PIECE_BYTES;
        if length > 0 && (to_hash.send(Arc::clone(&piece)).is_err() || sender.send(Ok(piece)).is_err()) {
            // Unpacking has failed and says why.
            return Ok(());
        }
        if let Some(error) = failure {
            let _ = sender.send(Err(error));
            return Ok(());
        }
        if is_end {
            break;
        }
    }
    drop(archive);
    if is_whole {
        io::copy(blob, &mut io::sink()).map_err(crate::layer::read_failed)?;
    }
    Ok(())
}

/// Reads until the buffer is full or there is no more.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (length, Some(error)),
        }
    }
    (length, None)
}

/// The receiving end: an archive to be read.
pub struct Archive {
    receiver: Receiver<io::Result<Arc<Piece>>>,
    piece: Option<Arc<Piece>>,
    position: usize,
}

impl BufRead for Archive {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece.as_ref().is_none_or(|piece| self.position == piece.length) {
            self.position = 0;
            self.piece = match self.receiver.recv() {
                Ok(piece) => Some(piece?),
                Err(_) => None,
            };
        }
        Ok(self.piece.as_ref().map_or(&[], |piece| &piece.bytes()[self.position..]))
    }

    fn consume(&mut self, length: usize) {
        self.position += length;
    }
}

impl Read for Archive {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}
