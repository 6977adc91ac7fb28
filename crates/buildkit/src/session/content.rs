//! Blobs in a folder of the client, by digest: caches of `type=local` lie there as OCI layouts.
//!
//! ```text
//! read:  Read{digest} ─────────────────────► pieces, to the end
//! write: Write{ref, total, expected, data} ─► how far it is … Commit ─► the client has it, as its digest says
//! ```

use super::Session;
use crate::grpc::{Code, Duplex, Status};
use crate::proto::content::{
    ReadContentRequest, ReadContentResponse, WriteAction, WriteContentRequest, WriteContentResponse,
};

const READ: &str = "/containerd.services.content.v1.Content/Read";
const WRITE: &str = "/containerd.services.content.v1.Content/Write";
/// The header that names the folder.
const STORE: &str = "buildkit-attachable-store-id";
/// What one message carries.
const CHUNK: usize = 1 << 20;

/// A blob that comes from the client.
pub struct Blob(Duplex);

/// A blob on its way to the client.
pub struct BlobSink {
    call: Duplex,
    reference: String,
    digest: String,
    total: i64,
    sent: i64,
}

impl Session {
    /// Opens the blob `digest` in the folder `place`, as the client named it.
    ///
    /// # Errors
    /// [`Status`] when the client offers no such folder. That the blob is missing is said by [`Blob::next`].
    pub async fn blob(&self, place: &str, digest: &str) -> Result<Blob, Status> {
        self.needs(READ)?;
        let mut call = self.channel.duplex(READ, &vec![(STORE.to_owned(), format!("local:{place}"))]).await?;
        call.sender.send(&ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 }).await?;
        call.sender.finish();
        Ok(Blob(call))
    }

    /// Begins the blob `digest` of `bytes` in the folder `place`, as the client named it.
    ///
    /// # Errors
    /// [`Status`] when the client offers no such folder.
    pub async fn blob_sink(&self, place: &str, digest: &str, bytes: u64) -> Result<BlobSink, Status> {
        self.needs(WRITE)?;
        let call = self.channel.duplex(WRITE, &vec![(STORE.to_owned(), format!("local:{place}"))]).await?;
        let total = i64::try_from(bytes).map_err(|_| Status::invalid("a blob is too long"))?;
        let (reference, digest) = (format!("berth-{}", berth_kit::id::generate()), digest.to_owned());
        Ok(BlobSink { call, reference, digest, total, sent: 0 })
    }
}

impl Blob {
    /// The next piece, none at the end.
    ///
    /// # Errors
    /// [`Status`] when the client has no such blob, or cannot read on.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Status> {
        Ok(self.0.receiver.next::<ReadContentResponse>().await?.map(|piece| piece.data))
    }
}

impl BlobSink {
    /// Writes more of it. Whether the client wants it: it may have it already, and then takes no more.
    ///
    /// # Errors
    /// [`Status`] when the client cannot keep it.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<bool, Status> {
        for chunk in bytes.chunks(CHUNK) {
            if !self.call(WriteAction::Write, chunk.to_vec()).await? {
                return Ok(false);
            }
            self.sent += i64::try_from(chunk.len()).unwrap_or(i64::MAX);
        }
        Ok(true)
    }

    /// Ends it, and waits until the client has it.
    ///
    /// # Errors
    /// [`Status`] when what was written is not what the digest says, or cannot be kept.
    pub async fn commit(mut self) -> Result<(), Status> {
        self.call(WriteAction::Commit, Vec::new()).await.map(drop)
    }

    async fn call(&mut self, action: WriteAction, data: Vec<u8>) -> Result<bool, Status> {
        let request = WriteContentRequest {
            action: action as i32,
            reference: self.reference.clone(),
            total: self.total,
            expected: self.digest.clone(),
            offset: self.sent,
            data,
        };
        // A client that has the blob ends the call; its answer says so, not this way out.
        let sent = self.call.sender.send(&request).await;
        match self.call.receiver.next::<WriteContentResponse>().await {
            Ok(Some(_)) => sent.map(|()| true),
            Ok(None) => Err(Status::gone("the client ended a blob before its end")),
            Err(status) if status.code == Code::AlreadyExists => Ok(false),
            Err(status) => Err(status),
        }
    }
}
