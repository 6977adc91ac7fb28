//! `commit`: an image from a container.

use berth_spec::{Digest, image::RunConfig, model::ContainerConfig};

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
        let machine = crate::machine::is_wanted(&record);
        let layer = if machine { Some(self.machine_layer(&container, pauses).await?) } else { None };
        let pauses = pauses && !machine && self.shared.freeze(&record)?;
        let rootfs = self.shared.snapshots.rootfs(&record.id)?;
        let outcome = self.shared.images.commit(berth_image::CommitRequest {
            upper: layer.clone().unwrap_or(rootfs.upper),
            parent: Digest::parse(&record.image_id).ok(),
            config: run_config(&record.config, request.config),
            changes: request.changes,
            author: request.author.unwrap_or_default(),
            comment: request.comment.unwrap_or_default(),
            created_by: record.command().join(" "),
            repository: request.repo.unwrap_or_default(),
            tag: request.tag.unwrap_or_default(),
            container: record.id.clone(),
        });
        let outcome = outcome.await;
        if let Some(layer) = layer {
            let _ = std::fs::remove_dir_all(layer);
        }
        if pauses {
            self.shared.thaw(&record);
        }
        let id = outcome?.to_string();
        self.shared.publish(&container, "commit", &[("imageID", id.clone())]);
        Ok(id)
    }
}

/// The configuration of the new image: the client's where it gives one, filled up with the container's.
fn run_config(container: &ContainerConfig, wanted: Option<ContainerConfig>) -> RunConfig {
    let own = to_image(container);
    match wanted {
        None => own,
        Some(mut wanted) => {
            crate::image_config::merge(&mut wanted, &own);
            to_image(&wanted)
        }
    }
}

fn to_image(config: &ContainerConfig) -> RunConfig {
    let keys = |list: &Option<Vec<String>>| {
        list.as_ref().map(|list| list.iter().map(|key| (key.clone(), serde_json::json!({}))).collect())
    };
    RunConfig {
        user: config.user.clone().unwrap_or_default(),
        exposed_ports: keys(&config.exposed_ports),
        env: config.env.clone(),
        entrypoint: config.entrypoint.clone(),
        cmd: config.cmd.clone(),
        volumes: keys(&config.volumes),
        working_dir: config.working_dir.clone().unwrap_or_default(),
        labels: config.labels.clone().map(|labels| labels.into_iter().collect()),
        stop_signal: config.stop_signal.clone(),
        healthcheck: config.healthcheck.clone(),
        on_build: config.on_build.clone(),
        shell: config.shell.clone(),
        args_escaped: None,
    }
}
