//! `exec resize`.

use super::{SessionState, lock};
use crate::{Containers, Error, Result};

impl Containers {
    /// Sets the size of a session's terminal, in characters.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it does not run.
    pub async fn exec_resize(&self, id: &str, height: u16, width: u16) -> Result<()> {
        let session = lock(&*self.shared.execs.find(id)?).clone();
        if !matches!(session.state, SessionState::Running(_)) {
            return Err(Error::Conflict(format!("exec {id} is not running")));
        }
        Ok(self.supervisor(&session.container).await?.resize(Some(id), height, width).await?)
    }
}
