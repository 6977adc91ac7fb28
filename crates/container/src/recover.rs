//! `recover`: after a start of the daemon, find out what became of every container.
//!
//! | record says | kernel says | then |
//! |---|---|---|
//! | removing | anything | finish the removal |
//! | running, paused | supervisor answers | follow it again |
//! | running, paused | supervisor gone, exit record there | book that exit, with its restart policy |
//! | running, paused | nothing | book an unseen exit |
//! | created, exited | a bundle or cgroup is left | take it away: the daemon died during a start |
//! | restarting | – | restart later |
//! | – | a directory or snapshot without record | remove it |

use std::sync::Arc;

use berth_spec::model::RestartPolicyNameEnum;
use berth_supervisor::client::Watch;

use crate::{
    Containers, Result,
    containers::Container,
    record::{Attachment, MountKind, Record, State, Status, TABLE},
};

impl Containers {
    /// Reads all records, follows what lives, books what ended, removes what belongs to nobody. The networks are told
    /// of the `others` too, which live on them and are no containers.
    ///
    /// # Errors
    /// [`Error::Record`] when the records cannot be read at all; a single spoiled one is logged and left.
    pub async fn recover(&self, others: &[String]) -> Result<()> {
        self.abandon_templates().await;
        let (records, spoiled) = self.shared.store.summaries::<Record>(TABLE)?;
        for error in spoiled {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a container record is unreadable and left alone"
            );
        }
        let mut live = Vec::new();
        let mut rest = Vec::new();
        for (_, record) in records {
            let alive = record.state.status.is_alive();
            if let Some(range) = record.state.id_range
                && alive
            {
                self.shared.ids.claim(range);
            }
            for mount in record.mounts.iter().filter(|mount| mount.kind == MountKind::Volume) {
                self.shared.volumes.adopt(&mount.name, &record.id, alive);
            }
            let container = self.shared.insert(record);
            if alive { live.push(container) } else { rest.push(container) }
        }
        for container in &live {
            self.find_again(container).await;
        }
        self.follow_names();
        self.recover_names().await;
        let mut ids: Vec<String> = live.iter().filter(|c| c.status().is_alive()).map(|c| c.id.clone()).collect();
        ids.extend_from_slice(others);
        if let Err(error) = self.shared.networks.recover(&ids).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "cannot bring the networks back in order");
        }
        let (containers, orphans) = (self.clone(), self.orphans()?);
        // The API may answer before the rest is tidy.
        tokio::spawn(async move { containers.tidy(rest, orphans).await });
        Ok(())
    }

    async fn find_again(&self, container: &Arc<Container>) {
        match self.watch_started(container).await {
            Ok(Some(watch)) => {
                self.follow(container, watch);
                self.begin_health(container);
            }
            // The daemon died just before it opened the gate: nothing of the user's ran, so the start never was.
            Ok(None) => {
                let _turn = container.turn.lock().await;
                self.unwind(container).await;
                let undone = self.shared.change(container, |record| {
                    record.state = State { exit_code: record.state.exit_code, ..State::default() };
                    record.network = Attachment::default();
                });
                if let Err(error) = undone {
                    tracing::error!(
                        container = container.id,
                        error = &error as &dyn std::error::Error,
                        "cannot undo a start"
                    );
                }
            }
            Err(_) => {
                let exit = self.unseen_exit(container);
                let _turn = container.turn.lock().await;
                self.exited(container, exit).await;
            }
        }
    }

    /// The events of a container that was let run; `None` when it still waits at the gate.
    async fn watch_started(&self, container: &Container) -> Result<Option<Watch>> {
        let supervisor = self.supervisor(&container.id).await?;
        if !supervisor.status().await?.started {
            return Ok(None);
        }
        Ok(Some(supervisor.watch().await?))
    }

    async fn tidy(&self, containers: Vec<Arc<Container>>, orphans: Orphans) {
        for container in containers {
            let _turn = container.turn.lock().await;
            let outcome = match container.status() {
                Status::Removing => {
                    let volumes = container.read().auto_remove();
                    self.remove_in_turn(&container, volumes).await
                }
                Status::Restarting => {
                    self.restart_later(&container, false);
                    Ok(())
                }
                status => self.undo_half_start(&container, status).await,
            };
            if let Err(error) = outcome {
                tracing::warn!(container = container.id, error = &error as &dyn std::error::Error, "cannot recover");
            }
        }
        self.sweep(orphans).await;
    }

    /// A start that the daemon's death cut short is undone; what should always run is started.
    async fn undo_half_start(&self, container: &Arc<Container>, status: Status) -> Result<()> {
        let bundle = self.shared.config.bundle_dir(&container.id);
        if bundle.exists() {
            self.unwind(container).await;
            self.shared.change(container, |record| {
                record.state.pid = 0;
                record.state.id_range = None;
            })?;
        }
        let (policy, stopped_by_user) = {
            let record = container.read();
            (record.host.restart_policy.clone().and_then(|policy| policy.name), record.stopped_by_user)
        };
        let starts = match policy {
            Some(RestartPolicyNameEnum::ALWAYS) => status == Status::Exited,
            Some(RestartPolicyNameEnum::UNLESS_STOPPED) => status == Status::Exited && !stopped_by_user,
            _ => false,
        };
        if starts { self.start_in_turn(container).await } else { Ok(()) }
    }

    /// Directories and snapshots that no record names. Looked for before the API answers: what a client makes later is
    /// never among them.
    fn orphans(&self) -> Result<Orphans> {
        let of_images: std::collections::HashSet<String> =
            self.shared.all().iter().flat_map(|one| one.read().mounts.clone()).map(|mount| mount.snapshot).collect();
        let unknown =
            |name: &str| berth_kit::id::is_full(name) && self.shared.find(name).is_err() && !of_images.contains(name);
        let config = &self.shared.config;
        let mut directories = Vec::new();
        for parent in [config.data_root.join("containers"), config.runtime_root.join("containers")] {
            let entries = std::fs::read_dir(&parent).into_iter().flatten().flatten();
            let orphaned = entries.filter(|entry| unknown(&entry.file_name().to_string_lossy()));
            directories.extend(orphaned.map(|entry| entry.path()));
        }
        let snapshots = self.shared.snapshots.snapshots()?.into_iter().filter(|key| unknown(key)).collect();
        Ok(Orphans { directories, snapshots })
    }

    async fn sweep(&self, orphans: Orphans) {
        for path in orphans.directories {
            tracing::info!(path = %path.display(), "removing what belongs to no container");
            let _ = tokio::fs::remove_dir_all(path).await;
        }
        for key in orphans.snapshots {
            if let Err(error) = self.shared.snapshots.remove(&key) {
                tracing::warn!(snapshot = key, error = &error as &dyn std::error::Error, "cannot remove an orphan");
            }
        }
    }
}

/// What a crash left without a record.
struct Orphans {
    directories: Vec<std::path::PathBuf>,
    snapshots: Vec<String>,
}
