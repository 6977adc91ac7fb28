//! `rm`: mark, clean, forget.

use std::sync::Arc;

use crate::{
    Containers, Error, RemoveRequest, Result,
    containers::Container,
    record::{MountKind, Record, Status},
};

impl Containers {
    /// Removes a container.
    ///
    /// # Errors
    /// [`Error::Conflict`] with Docker's text when it runs and is not forced.
    pub async fn remove(&self, name: &str, request: RemoveRequest) -> Result<()> {
        if request.link {
            return self.remove_link(name).await;
        }
        let container = self.shared.find(name)?;
        let status = container.status();
        if status.is_alive() || status == Status::Restarting {
            if !request.force {
                let state = if status == Status::Paused {
                    "container is paused and must be unpaused first"
                } else {
                    "container is running: stop the container before removing or force remove"
                };
                let shown = name.strip_prefix('/').unwrap_or(name);
                return Err(Error::Conflict(format!("cannot remove container \"{shown}\": {state}")));
            }
            self.shared.change_anyway(&container, |record| record.stopped_by_user = true);
            container.nudge.notify_waiters();
            if status.is_alive() {
                self.force_end(&container).await?;
            }
        }
        let _turn = container.turn.lock().await;
        if container.progress.borrow().removed {
            return Ok(());
        }
        self.remove_in_turn(&container, request.volumes).await
    }

    async fn force_end(&self, container: &Arc<Container>) -> Result<()> {
        match self.stop_running(container, Some(crate::kill::KILL), Some(10)).await {
            // The supervisor may be gone already; the end is booked by whoever followed it.
            Err(Error::Supervisor(_)) => {
                let exit = self.unseen_exit(container);
                let _turn = container.turn.lock().await;
                self.exited(container, exit).await;
                Ok(())
            }
            other => other,
        }
    }

    /// Removes a stopped container whose turn the caller holds.
    pub(crate) async fn remove_in_turn(&self, container: &Arc<Container>, volumes: bool) -> Result<()> {
        // On a full disk, too: removing is what makes room.
        self.shared.change_anyway(container, |record| record.state.status = Status::Removing);
        let record = container.read().clone();
        if volumes {
            self.remove_anonymous_volumes(&record).await;
        }
        self.discard_files(&record).await;
        self.shared.forget(container);
        self.shared.execs.forget(&container.id);
        container.progress.send_modify(|progress| progress.removed = true);
        self.shared.publish(container, "destroy", &[]);
        Ok(())
    }

    /// Removes the volumes that were made for this container alone.
    pub(crate) async fn remove_anonymous_volumes(&self, record: &Record) {
        for mount in record.mounts.iter().filter(|mount| mount.kind == MountKind::Volume && mount.anonymous) {
            self.shared.volumes.release(&mount.name, &record.id).await;
            if let Err(error) = self.shared.volumes.remove(&mount.name, false).await {
                tracing::debug!(volume = mount.name, error = &error as &dyn std::error::Error, "volume stays");
            }
        }
    }
}
