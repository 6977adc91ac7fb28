//! `commit`: an image from a container.

use crate::{CommitRequest, Containers, Error, Result, record::Status};

impl Containers {
    /// Makes an image from a container's layer, and names it where a repository is given.
    ///
    /// # Errors
    /// [`Error::Image`] for a wrong name or change, and what stops the layer from being read.
    pub async fn commit(&self, request: CommitRequest) -> Result<String> {
        let container = self.shared.find(&request.container)?;
        let _turn = container.turn.lock().await;
        let record = container.read().clone();
        if matches!(record.state.status, Status::Removing | Status::Dead) {
            return Err(Error::Conflict(format!("You cannot commit container {} which is being removed", record.id)));
        }
        let pauses = request.pause && record.state.status == Status::Running;
        if pauses {
            let cgroup = self.shared.cgroup(&record)?;
            cgroup.freeze().map_err(|error| Error::step("freeze the processes", &record.id, error))?;
        }
        let rootfs = self.shared.snapshots.rootfs(&record.id)?;
        let outcome = self.shared.images.commit(berth_image::CommitRequest {
            parent: record.image_id.clone(),
            upper: rootfs.upper,
            container: record.id.clone(),
            config: request.config.unwrap_or_else(|| record.config.clone()),
            changes: request.changes,
            author: request.author.unwrap_or_default(),
            comment: request.comment.unwrap_or_default(),
            repo: request.repo,
            tag: request.tag,
        });
        let outcome = outcome.await;
        if pauses {
            self.shared.thaw(&record);
        }
        let id = outcome?;
        self.shared.publish(&container, "commit", &[("imageID", id.clone())]);
        Ok(id)
    }
}
