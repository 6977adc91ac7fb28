//! Secrets, as the client keeps them.

use super::Session;
use crate::grpc::{Code, Status};
use crate::proto::session::{GetSecretRequest, GetSecretResponse};

const GET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";

impl Session {
    /// The bytes of a secret; none where the client has none of that name. The client limits them to 500 KiB.
    ///
    /// # Errors
    /// [`Status`] when the client fails to answer.
    pub async fn secret(&self, id: &str) -> Result<Option<Vec<u8>>, Status> {
        if !self.offers(GET) {
            return Ok(None);
        }
        let request = GetSecretRequest { id: id.to_owned() };
        match self.channel.unary::<GetSecretResponse>(GET, &Vec::new(), &request).await {
            Ok(answer) => Ok(Some(answer.data)),
            Err(status) if matches!(status.code, Code::NotFound | Code::Unimplemented) => Ok(None),
            Err(status) => Err(status),
        }
    }
}
