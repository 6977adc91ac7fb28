//! What the client reads from its standard input: a tar of the context, or a Dockerfile.

use super::Session;
use crate::grpc::{Duplex, Status};
use crate::proto::session::BytesMessage;

const PULL: &str = "/moby.upload.v1.Upload/Pull";

/// Bytes from the client, piece by piece.
pub struct Upload(Duplex);

impl Session {
    /// Opens the upload at `path`, as [`crate::request::Source::Upload`] has it. Each can be read once.
    ///
    /// # Errors
    /// [`Status`] when the client has none.
    pub async fn upload(&self, path: &str) -> Result<Upload, Status> {
        self.needs(PULL)?;
        let metadata =
            vec![("urlpath".to_owned(), format!("/{path}")), ("urlhost".to_owned(), "buildkit-session".to_owned())];
        let mut call = self.channel.duplex(PULL, &metadata).await?;
        call.sender.finish();
        Ok(Upload(call))
    }
}

impl Upload {
    /// The next piece, none at the end.
    ///
    /// # Errors
    /// [`Status`] when the client could not read on.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Status> {
        Ok(self.0.receiver.next::<BytesMessage>().await?.map(|message| message.data))
    }
}
