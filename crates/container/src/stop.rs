//! `stop`: ask, wait, kill; and what the daemon's own shutdown does.

use std::{sync::Arc, time::Duration};

use crate::{
    Containers, Error, Result, StopRequest,
    containers::Container,
    kill::{self, KILL},
    record::Status,
};

/// How long a killed container may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

impl Containers {
    /// Stops a container: its stop signal, then SIGKILL after the timeout.
    ///
    /// # Errors
    /// [`Error::Already`] when it does not run, [`Error::Invalid`] for an unknown signal.
    pub async fn stop(&self, name: &str, request: StopRequest) -> Result<()> {
        let signal = request.signal.as_deref().filter(|text| !text.is_empty()).map(kill::signal_number).transpose()?;
        let container = self.shared.find(name)?;
        if container.status() == Status::Restarting {
            return self.cancel_restart(&container).await;
        }
        if !container.status().is_alive() {
            return Err(Error::Already(name.to_owned(), "stopped"));
        }
        self.shared.change_anyway(&container, |record| record.stopped_by_user = true);
        self.stop_running(&container, signal, request.timeout_s).await?;
        self.shared.publish(&container, "stop", &[]);
        Ok(())
    }

    async fn cancel_restart(&self, container: &Arc<Container>) -> Result<()> {
        let _turn = container.turn.lock().await;
        container.nudge.notify_waiters();
        self.shared.change(container, |record| {
            record.stopped_by_user = true;
            if record.state.status == Status::Restarting {
                record.state.status = Status::Exited;
            }
        })
    }

    /// Stops a running container without taking its turn: the exit is booked by whoever follows it.
    pub(crate) async fn stop_running(
        &self,
        container: &Arc<Container>,
        signal: Option<i32>,
        timeout_s: Option<i64>,
    ) -> Result<()> {
        let mut progress = container.progress.subscribe();
        let exits = progress.borrow().exits;
        let mut ended = async |patience: Option<Duration>| {
            let gone = progress.wait_for(|now| now.exits > exits || now.removed);
            match patience {
                Some(patience) => tokio::time::timeout(patience, gone).await.is_ok(),
                None => gone.await.is_ok(),
            }
        };
        let number = signal.unwrap_or_else(|| self.stop_signal(container));
        self.signal(container, number).await?;
        self.shared.publish(container, "kill", &[("signal", number.to_string())]);
        if container.status() == Status::Paused {
            self.shared.thaw(&container.read().clone());
        }
        let configured = container.read().config.stop_timeout;
        let timeout_s = timeout_s.or(configured).unwrap_or(self.shared.config.stop_timeout_s);
        let patience = u64::try_from(timeout_s).ok().map(Duration::from_secs);
        if ended(patience).await {
            return Ok(());
        }
        // It may end between the look and the signal.
        let _ = self.signal(container, KILL).await;
        self.shared.publish(container, "kill", &[("signal", KILL.to_string())]);
        if ended(Some(KILL_PATIENCE)).await {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "container {} did not end within {KILL_PATIENCE:?} of SIGKILL; a process is stuck in the kernel",
            container.id
        )))
    }

    /// Ends the noun with the daemon: containers are stopped, unless they are to live on.
    pub async fn shutdown(&self, live_restore: bool) {
        self.shared.begin_stopping();
        self.abandon_templates().await;
        if live_restore {
            self.shared.networks.settle().await;
            return;
        }
        let running = self.shared.all().into_iter().filter(|container| container.status().is_alive());
        let stops: Vec<_> = running
            .map(|container| {
                let containers = self.clone();
                tokio::spawn(async move {
                    if let Err(error) = containers.stop_running(&container, None, None).await {
                        tracing::warn!(
                            container = container.id,
                            error = &error as &dyn std::error::Error,
                            "cannot stop"
                        );
                    }
                })
            })
            .collect();
        for stop in stops {
            let _ = stop.await;
        }
        self.shared.networks.settle().await;
        self.leave_names().await;
    }
}
