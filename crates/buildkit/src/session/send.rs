//! Results on their way to the client: one file (a tar), or a folder.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

use super::{Session, tree};
use crate::grpc::{Duplex, Metadata, Status};
use crate::proto::session::{BytesMessage, Packet, PacketKind};

const SEND: &str = "/moby.filesync.v1.FileSend/DiffCopy";
const EXPORTER: &str = "buildkit-attachable-exporter-id";
const EXPORTER_MD: &str = "exporter-md-";
/// What one message carries.
const CHUNK: usize = 1 << 20;

/// A file at the client, being written.
pub struct FileSink(Duplex);

impl Session {
    /// Opens the file of the exporter numbered `exporter` of the solve, with what the exporter has to say about it.
    ///
    /// # Errors
    /// [`Status`] when the client takes none, or has such a file already.
    pub async fn file_sink(&self, exporter: usize, about: &BTreeMap<String, String>) -> Result<FileSink, Status> {
        self.needs(SEND)?;
        let mut metadata: Metadata = vec![(EXPORTER.to_owned(), exporter.to_string())];
        metadata
            .extend(about.iter().map(|(name, value)| (format!("{EXPORTER_MD}{}", name.to_lowercase()), value.clone())));
        self.channel.duplex(SEND, &metadata).await.map(FileSink)
    }

    /// Copies the folder to that of the exporter numbered `exporter`. Gives the bytes sent.
    ///
    /// # Errors
    /// [`Status`] of the side that failed.
    pub async fn send_tree(&self, exporter: usize, root: OwnedFd) -> Result<u64, Status> {
        self.needs(SEND)?;
        let metadata = vec![(EXPORTER.to_owned(), exporter.to_string())];
        let Duplex { mut sender, mut receiver } = self.channel.duplex(SEND, &metadata).await?;
        // Whatever the folder was opened for, it is read from here.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(&root, ".", flags, Mode::empty()).map_err(Status::gone)?;
        let root = std::sync::Arc::new(root);
        let walked = blocking({
            let root = std::sync::Arc::clone(&root);
            move || tree::walk(&root)
        });
        let entries = walked.await?;
        for entry in &entries {
            let kind = PacketKind::Stat as i32;
            sender.send(&Packet { kind, stat: Some(entry.clone()), ..Packet::default() }).await?;
        }
        sender.send(&Packet::default()).await?;
        let mut sent = 0;
        while let Some(packet) = receiver.next::<Packet>().await? {
            match PacketKind::try_from(packet.kind) {
                Ok(PacketKind::Request) => {
                    let index = packet.id as usize;
                    let entry = entries.get(index).ok_or_else(|| Status::invalid("the client asked for no file"))?;
                    let path = entry.path.clone();
                    let opening = std::sync::Arc::clone(&root);
                    let file = blocking(move || tree::open(&opening, &path)).await?;
                    sent += copy(file, packet.id, &mut sender).await?;
                }
                Ok(PacketKind::Finish) => {
                    sender.send(&Packet { kind: PacketKind::Finish as i32, ..Packet::default() }).await?;
                    sender.finish();
                }
                Ok(PacketKind::Error) => return Err(Status::gone(String::from_utf8_lossy(&packet.data))),
                _ => return Err(Status::invalid("the client sent a packet that has no place here")),
            }
        }
        Ok(sent)
    }
}

/// Sends a file's bytes as packets of `id`, with the empty one that ends it.
async fn copy(file: std::fs::File, id: u32, sender: &mut crate::grpc::Sender) -> Result<u64, Status> {
    let mut file = Some(file);
    let mut sent = 0;
    loop {
        let (read, back) = blocking({
            let mut file = file.take().ok_or_else(|| Status::gone("the file is gone"))?;
            move || {
                let mut buffer = vec![0; CHUNK];
                let read = std::io::Read::read(&mut file, &mut buffer)?;
                buffer.truncate(read);
                Ok((buffer, file))
            }
        })
        .await?;
        file = Some(back);
        let ended = read.is_empty();
        sent += read.len() as u64;
        sender.send(&Packet { kind: PacketKind::Data as i32, id, data: read, ..Packet::default() }).await?;
        if ended {
            return Ok(sent);
        }
    }
}

/// Disk work off the tasks that drive connections.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> std::io::Result<T> + Send + 'static) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await.map_err(Status::gone)?;
    done.map_err(Status::gone)
}

impl FileSink {
    /// Writes more of the file.
    ///
    /// # Errors
    /// [`Status`] when the client takes no more.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Status> {
        for chunk in bytes.chunks(CHUNK) {
            self.0.sender.send(&BytesMessage { data: chunk.to_vec() }).await?;
        }
        Ok(())
    }

    /// Ends the file, and waits until the client has it.
    ///
    /// # Errors
    /// [`Status`] when the client could not keep it.
    pub async fn finish(mut self) -> Result<(), Status> {
        self.0.sender.finish();
        while self.0.receiver.next::<BytesMessage>().await?.is_some() {}
        Ok(())
    }
}
