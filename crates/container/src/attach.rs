//! `attach`: the standard streams of a running container.

use crate::{AttachRequest, Attached, Containers, Error, LogsRequest, Result, detach, record::Status};

impl Containers {
    /// Connects to a container's standard streams; one that is not started yet is waited for.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is paused or does not run and no start is expected.
    pub async fn attach(&self, name: &str, request: AttachRequest) -> Result<Attached> {
        let container = self.shared.find(name)?;
        let tty = container.read().tty();
        let keys = detach::parse(request.detach_keys.as_deref())?;
        if container.status() == Status::Paused {
            return Err(Error::Paused(name.to_owned(), "attach"));
        }
        let replay = if request.logs {
            let logs = LogsRequest { stdout: request.stdout, stderr: request.stderr, ..LogsRequest::default() };
            Some(self.logs(name, logs).await?.stream)
        } else {
            None
        };
        self.shared.publish(&container, "attach", &[]);
        if !request.stream {
            return Ok(Attached { replay, stream: None, tty });
        }
        let stream = if container.status().is_alive() {
            let handle = self.supervisor(&container.id).await?;
            Box::new(handle.attach(request.stdin, request.stdout, request.stderr).await?) as crate::Duplex
        } else {
            self.attach_early(&container, &request)
        };
        let stream = if tty && request.stdin { detach::on_keys(stream, keys) } else { stream };
        Ok(Attached { replay, stream: Some(stream), tty })
    }

    /// A connection that begins when the container starts, before its first byte: `docker run` attaches first.
    fn attach_early(
        &self,
        container: &std::sync::Arc<crate::containers::Container>,
        request: &AttachRequest,
    ) -> crate::Duplex {
        let (near, far) = tokio::io::duplex(64 << 10);
        let wanted = crate::containers::EarlyAttach {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
            far,
        };
        container.early_attaches().push(wanted);
        Box::new(near)
    }

    /// Connects those who attached before the start. Called between the supervisor's birth and the gate.
    pub(crate) async fn connect_early(
        &self,
        container: &crate::containers::Container,
        handle: &berth_supervisor::Handle,
    ) -> Result<()> {
        let waiting = std::mem::take(&mut *container.early_attaches());
        for mut early in waiting {
            let mut live = handle.attach(early.stdin, early.stdout, early.stderr).await?;
            tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut early.far, &mut live).await;
            });
        }
        Ok(())
    }
}
