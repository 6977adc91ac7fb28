//! What happens when a container ends: its record, its waiters, its restart policy, its removal.

use std::{path::Path, sync::Arc, time::Duration};

use berth_kit::time::Timestamp;
use berth_spec::model::RestartPolicyNameEnum;
use berth_supervisor::{ExitRecord, client::Watch, protocol::Event};

use crate::{
    Containers,
    containers::Container,
    record::{Attachment, Record, Status},
};

/// First pause before a restart; it doubles each time.
const BACK_OFF_FIRST: Duration = Duration::from_millis(100);
/// Longest pause before a restart.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// A run of this length resets the back-off.
const STABLE_RUN_S: i64 = 10;
/// How often a bundle that is still written into is tried, and the pause between.
const BUNDLE_TRIES: u32 = 100;
const BUNDLE_PAUSE: Duration = Duration::from_millis(20);
/// Exit code of a container whose end nobody saw.
const UNSEEN: i64 = 255;

impl Containers {
    /// Follows a running container until its end, in a task of its own.
    pub(crate) fn follow(&self, container: &Arc<Container>, mut watch: Watch) {
        let (containers, container) = (self.clone(), container.clone());
        tokio::spawn(async move {
            let exit = loop {
                match watch.next().await {
                    Ok(Some(Event::Exited(exit))) => break exit,
                    Ok(Some(Event::ExecExited { id, code })) => containers.exec_exited(&container, &id, code.into()),
                    Ok(Some(Event::OomKilled)) => containers.shared.publish(&container, "oom", &[]),
                    Ok(None) | Err(_) => break containers.unseen_exit(&container),
                }
            };
            let _turn = container.turn.lock().await;
            containers.exited(&container, exit).await;
        });
    }

    /// The exit record on disk, or the truth that the supervisor died: then what it kept is ended here and now.
    pub(crate) fn unseen_exit(&self, container: &Container) -> ExitRecord {
        let bundle = self.shared.config.bundle_dir(&container.id);
        ExitRecord::read(&bundle).ok().flatten().unwrap_or_else(|| {
            self.shared.kill_processes(&container.read().clone());
            ExitRecord {
                code: UNSEEN,
                signal: None,
                oom_killed: false,
                at_ns: i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX),
                error: Some("the container's supervisor died; its processes were killed".to_owned()),
            }
        })
    }

    /// Books an exit. The caller holds the turn.
    pub(crate) async fn exited(&self, container: &Arc<Container>, exit: ExitRecord) {
        if !container.status().is_alive() {
            return;
        }
        self.end_health(container);
        self.shared.execs.end_all(&container.id);
        let before = container.read().clone();
        let restart = self.restarts(&before, exit.code);
        let removes = before.auto_remove() && !restart;
        self.shared.change_anyway(container, |record| book(record, &exit, restart, removes));
        let signal_text = exit.signal.map(|signal| ("signal", signal.to_string()));
        let mut attributes = vec![("exitCode", exit.code.to_string())];
        attributes.extend(signal_text);
        self.shared.publish(container, "die", &attributes);
        self.finish_waits(container, exit.code, exit.error.clone());
        if removes {
            self.vanish(container, &before).await;
            return;
        }
        self.release(&before).await;
        if restart {
            self.restart_later(container, ran_stably(&before, &exit));
        }
    }

    /// Gives back what only a running container has.
    pub(crate) async fn release(&self, record: &Record) {
        self.shared.kill_processes(record);
        if let Err(error) = self.shared.networks.detach(&record.id).await {
            tracing::warn!(
                container = record.id,
                error = &error as &dyn std::error::Error,
                "cannot detach the network"
            );
        }
        for mount in record.mounts.iter().filter(|mount| mount.kind == crate::record::MountKind::Volume) {
            self.shared.volumes.rest(&mount.name, &record.id).await;
        }
        if let Some(range) = record.state.id_range
            && self.owns_ids(record)
        {
            self.shared.ids.release(range);
        }
        remove_bundle(&self.shared.config.bundle_dir(&record.id)).await;
    }

    /// Tells those who wait that it ended.
    pub(crate) fn finish_waits(&self, container: &Container, exit_code: i64, error: Option<String>) {
        container.progress.send_modify(|progress| {
            progress.exits += 1;
            progress.exit_code = exit_code;
            progress.error = error;
        });
    }

    /// Whether its policy starts a container again that ended with `exit_code`.
    fn restarts(&self, record: &Record, exit_code: i64) -> bool {
        if record.stopped_by_user || self.shared.is_stopping() {
            return false;
        }
        let policy = record.host.restart_policy.clone().unwrap_or_default();
        match policy.name {
            Some(RestartPolicyNameEnum::ALWAYS | RestartPolicyNameEnum::UNLESS_STOPPED) => true,
            Some(RestartPolicyNameEnum::ON_FAILURE) => {
                let most = policy.maximum_retry_count.unwrap_or(0);
                exit_code != 0 && (most == 0 || record.restart_count < most)
            }
            _ => false,
        }
    }

    /// Starts a container again after its back-off, unless somebody changes its state meanwhile.
    pub(crate) fn restart_later(&self, container: &Arc<Container>, was_stable: bool) {
        let (containers, container) = (self.clone(), container.clone());
        tokio::spawn(async move {
            let count = container.read().restart_count;
            let doublings = if was_stable { 0 } else { u32::try_from(count).unwrap_or(0).min(16) };
            let pause = BACK_OFF_FIRST.saturating_mul(1 << doublings).min(BACK_OFF_MAX);
            let woken = container.nudge.notified();
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = woken => return,
            }
            let _turn = container.turn.lock().await;
            if container.status() != Status::Restarting || containers.shared.is_stopping() {
                return;
            }
            if containers.shared.change(&container, |record| record.restart_count += 1).is_err() {
                return;
            }
            if let Err(error) = containers.start_in_turn(&container).await {
                tracing::warn!(container = container.id, error = &error as &dyn std::error::Error, "cannot restart");
            }
        });
    }

    /// Removes a container that wanted to go with its exit: durable mark first, then the answer, then the cleaning.
    async fn vanish(&self, container: &Arc<Container>, before: &Record) {
        self.shared.forget(container);
        container.progress.send_modify(|progress| progress.removed = true);
        self.shared.publish(container, "destroy", &[]);
        self.release(before).await;
        self.remove_anonymous_volumes(before).await;
        self.discard_files(before).await;
    }
}

fn book(record: &mut Record, exit: &ExitRecord, restart: bool, removes: bool) {
    record.state.status = match (restart, removes) {
        (true, _) => Status::Restarting,
        (_, true) => Status::Removing,
        _ => Status::Exited,
    };
    record.state.pid = 0;
    record.state.exit_code = exit.code;
    record.state.oom_killed = exit.oom_killed;
    record.state.finished_at = Some(ended_at(exit));
    record.state.error = exit.error.clone().unwrap_or_default();
    record.state.id_range = None;
    record.network = Attachment::default();
}

fn ended_at(exit: &ExitRecord) -> Timestamp {
    Timestamp::from_nanosecond(exit.at_ns.into()).unwrap_or_else(|_| Timestamp::now())
}

fn ran_stably(before: &Record, exit: &ExitRecord) -> bool {
    before.state.started_at.is_some_and(|start| ended_at(exit).duration_since(start).as_secs() >= STABLE_RUN_S)
}

/// Removes a bundle. A supervisor whose container was killed under it may be writing its exit record at this moment:
/// then it is tried again.
async fn remove_bundle(dir: &Path) {
    for _ in 0..BUNDLE_TRIES {
        match tokio::fs::remove_dir_all(dir).await {
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {}
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(dir = %dir.display(), error = &error as &dyn std::error::Error, "cannot remove a bundle");
                return;
            }
            _ => return,
        }
        tokio::time::sleep(BUNDLE_PAUSE).await;
    }
}
