//! The client's SSH agent, reached through its session.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Session;
use crate::grpc::{Code, Duplex, Status};
use crate::proto::Empty;
use crate::proto::session::{BytesMessage, CheckAgentRequest};

const CHECK: &str = "/moby.sshforward.v1.SSH/CheckAgent";
const FORWARD: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
const ID: &str = "buildkit.ssh.id";

/// One connection to the agent.
pub struct Agent(Duplex);

impl Session {
    /// Whether the client has an agent of this name.
    ///
    /// # Errors
    /// [`Status`] when the client fails to answer.
    pub async fn has_agent(&self, id: &str) -> Result<bool, Status> {
        if !self.offers(FORWARD) {
            return Ok(false);
        }
        let request = CheckAgentRequest { id: id.to_owned() };
        match self.channel.unary::<Empty>(CHECK, &Vec::new(), &request).await {
            Ok(_) => Ok(true),
            Err(status) if matches!(status.code, Code::NotFound | Code::Unimplemented | Code::Unknown) => Ok(false),
            Err(status) => Err(status),
        }
    }

    /// Opens a connection to the agent.
    ///
    /// # Errors
    /// [`Status`] when the client has none.
    pub async fn agent(&self, id: &str) -> Result<Agent, Status> {
        self.needs(FORWARD)?;
        self.channel.duplex(FORWARD, &vec![(ID.to_owned(), id.to_owned())]).await.map(Agent)
    }
}

impl Agent {
    /// Joins the agent with a process of the build until one of them ends.
    ///
    /// # Errors
    /// [`Status`] of the side that failed.
    pub async fn join(self, socket: impl AsyncRead + AsyncWrite + Unpin) -> Result<(), Status> {
        const CHUNK: usize = 16 << 10;
        let (mut reader, mut writer) = tokio::io::split(socket);
        let Duplex { mut sender, mut receiver } = self.0;
        let outward = async {
            let mut buffer = vec![0; CHUNK];
            loop {
                let read = reader.read(&mut buffer).await.map_err(Status::gone)?;
                if read == 0 {
                    sender.finish();
                    return Ok(());
                }
                sender.send(&BytesMessage { data: buffer[..read].to_vec() }).await?;
            }
        };
        let inward = async {
            while let Some(message) = receiver.next::<BytesMessage>().await? {
                writer.write_all(&message.data).await.map_err(Status::gone)?;
            }
            Ok(())
        };
        tokio::select! {
            outcome = outward => outcome,
            outcome = inward => outcome,
        }
    }
}
