//! `wait`: until a container ends, ends next, or is gone.

use tokio::sync::watch;

use crate::{Containers, Result, WaitCondition, WaitOutcome, containers::Progress, record::Status};

/// A wait that is registered: nothing that happens from now on is missed.
pub struct Waiting {
    progress: watch::Receiver<Progress>,
    condition: WaitCondition,
    exits: u64,
}

impl Containers {
    /// Registers a wait.
    ///
    /// # Errors
    /// [`crate::Error::NoSuchContainer`].
    pub async fn wait(&self, name: &str, condition: WaitCondition) -> Result<Waiting> {
        let container = self.shared.find(name)?;
        let progress = container.progress.subscribe();
        let exits = progress.borrow().exits;
        Ok(Waiting { progress, condition, exits })
    }
}

impl Waiting {
    /// Waits.
    pub async fn finish(mut self) -> WaitOutcome {
        let (condition, exits) = (self.condition, self.exits);
        let done = |now: &Progress| match condition {
            WaitCondition::NotRunning => {
                now.exits > exits
                    || now.removed
                    || !matches!(now.status, Status::Running | Status::Paused | Status::Restarting)
            }
            WaitCondition::NextExit => now.exits > exits || now.removed,
            WaitCondition::Removed => now.removed,
        };
        let ended = self.progress.wait_for(done).await.map(|now| now.clone()).unwrap_or_default();
        WaitOutcome { code: ended.exit_code, error: ended.error.filter(|text| !text.is_empty()) }
    }
}
