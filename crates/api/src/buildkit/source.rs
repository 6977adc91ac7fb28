//! Where a build's files come from, over a session.

use std::{io, sync::Arc};

use berth_build::{ContextSource, ContextStore, Folder};
use berth_buildkit::{
    grpc::Status,
    session::{Contexts, Session, Wanted},
};
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

/// Pieces of an archive between the session and the unpacker.
const PIECES: usize = 8;

/// A folder of the client.
pub struct SessionFolder {
    /// Where it is kept.
    pub contexts: Contexts,
    /// The client's side.
    pub session: Arc<Session>,
    /// Which, and what of it.
    pub wanted: Wanted,
}

impl ContextSource for SessionFolder {
    fn open(&self) -> BoxFuture<'_, Result<Folder, String>> {
        Box::pin(async move {
            let synced = self.contexts.sync(&self.session, &self.wanted).await.map_err(|status| status.message)?;
            Ok(Folder { path: synced.path().to_owned(), guard: Arc::new(synced) })
        })
    }
}

/// A folder that is here already.
pub struct Here(pub Folder);

impl ContextSource for Here {
    fn open(&self) -> BoxFuture<'_, Result<Folder, String>> {
        Box::pin(async move { Ok(self.0.clone()) })
    }
}

/// Unpacks the archive that the client reads from its standard input.
pub async fn unpack(store: &ContextStore, session: &Session, path: &str) -> Result<Folder, Status> {
    let mut upload = session.upload(path).await?;
    let (pieces, reader) = mpsc::channel(PIECES);
    let store = store.clone();
    let unpacked =
        tokio::task::spawn_blocking(move || store.unpack(Pieces { pieces: reader, rest: Vec::new(), at: 0 }));
    while let Some(piece) = upload.next().await? {
        if pieces.send(piece).await.is_err() {
            // The unpacker has failed and says why, or has all it wants.
            break;
        }
    }
    drop(pieces);
    let folder = unpacked.await.map_err(Status::gone)?;
    folder.map_err(|error| Status::invalid(format!("failed to unpack the context: {}", error.chain())))
}

/// Pieces as one stream.
struct Pieces {
    pieces: mpsc::Receiver<Vec<u8>>,
    rest: Vec<u8>,
    at: usize,
}

impl io::Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.rest.len() {
            match self.pieces.blocking_recv() {
                Some(piece) => (self.rest, self.at) = (piece, 0),
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.rest.len() - self.at);
        buffer[..length].copy_from_slice(&self.rest[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}
