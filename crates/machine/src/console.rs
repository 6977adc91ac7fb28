//! `console`: the guest's serial port.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};

use crate::{Error, Machines, Result, Status, keeper::client::Port};

/// A guest's serial port, both ways. Several may look at it at a time.
#[derive(Debug)]
pub struct Console {
    early: io::Cursor<Vec<u8>>,
    stream: UnixStream,
}

impl Machines {
    /// The serial port of a machine that runs; before it what the guest said of late, with `replay`.
    ///
    /// # Errors
    /// [`Error::State`] for one that does not run.
    pub async fn console(&self, name: &str, replay: bool) -> Result<Console> {
        let machine = self.find(name)?;
        machine.require(&[Status::Running, Status::Paused], "only a running machine has a console")?;
        let port = self.shared.keeper(&machine.name).console(replay).await;
        let Port { early, stream } = port.map_err(|reason| Error::Monitor { name: machine.name.clone(), reason })?;
        Ok(Console { early: io::Cursor::new(early), stream })
    }
}

impl AsyncRead for Console {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if (self.early.position() as usize) < self.early.get_ref().len() {
            return Pin::new(&mut self.early).poll_read(context, buffer);
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Console {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
