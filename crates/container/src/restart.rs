//! `restart`: stop where it runs, then start.

use crate::{Containers, Error, Result, StopRequest, kill, record::Status};

impl Containers {
    /// Stops a container where it runs, and starts it.
    ///
    /// # Errors
    /// Those of stopping and starting.
    pub async fn restart(&self, name: &str, request: StopRequest) -> Result<()> {
        let signal = request.signal.as_deref().filter(|text| !text.is_empty()).map(kill::signal_number).transpose()?;
        let container = self.shared.find(name)?;
        if container.read().auto_remove() && container.status().is_alive() {
            // Its exit would remove it: it is kept for this one exit.
            self.shared.change(&container, |record| record.host.auto_remove = Some(false))?;
            let outcome = self.restart_running(&container, signal, request.timeout_s).await;
            self.shared.change(&container, |record| record.host.auto_remove = Some(true))?;
            return outcome;
        }
        self.restart_running(&container, signal, request.timeout_s).await
    }

    async fn restart_running(
        &self,
        container: &std::sync::Arc<crate::containers::Container>,
        signal: Option<i32>,
        timeout_s: Option<i64>,
    ) -> Result<()> {
        if container.status().is_alive() {
            self.shared.change(container, |record| record.stopped_by_user = true)?;
            self.stop_running(container, signal, timeout_s).await?;
        }
        let _turn = container.turn.lock().await;
        match container.status() {
            Status::Created | Status::Exited | Status::Restarting => {}
            other => {
                return Err(Error::Conflict(format!(
                    "cannot restart container {}: it is {}",
                    container.id,
                    other.as_str()
                )));
            }
        }
        self.shared.change(container, |record| {
            record.stopped_by_user = false;
            record.restart_count = 0;
        })?;
        container.nudge.notify_waiters();
        self.start_in_turn(container).await?;
        self.shared.publish(container, "restart", &[]);
        Ok(())
    }
}
