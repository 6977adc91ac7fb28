//! `exec inspect`.

use berth_spec::model::{ExecInspectResponse, ProcessConfig};

use super::{SessionState, lock};
use crate::{Containers, Result};

impl Containers {
    /// Where an exec session stands.
    ///
    /// # Errors
    /// [`crate::Error::NoSuchExec`].
    pub async fn exec_inspect(&self, id: &str) -> Result<ExecInspectResponse> {
        let shared = self.shared.execs.find(id)?;
        let mut session = lock(&shared).clone();
        // The stream of a session may end before its end is booked: the supervisor knows first.
        if matches!(session.state, SessionState::Running(_))
            && let Ok(supervisor) = self.supervisor(&session.container).await
            && let Ok(state) = supervisor.exec_status(id).await
            && let Some(code) = state.code
        {
            session.state = SessionState::Exited(code.into());
            lock(&shared).state = session.state;
        }
        let command = session.config.cmd.clone().unwrap_or_default();
        let (running, pid, exit_code) = match session.state {
            SessionState::Created => (false, 0, None),
            SessionState::Running(pid) => (true, pid, None),
            SessionState::Exited(code) => (false, 0, Some(code)),
        };
        Ok(ExecInspectResponse {
            can_remove: Some(false),
            detach_keys: Some(session.config.detach_keys.clone().unwrap_or_default()),
            id: Some(session.id),
            running: Some(running),
            exit_code,
            process_config: Some(ProcessConfig {
                privileged: session.config.privileged,
                user: session.config.user.clone(),
                tty: Some(session.config.tty.unwrap_or(false)),
                entrypoint: command.first().cloned(),
                arguments: Some(command.get(1..).unwrap_or_default().to_vec()),
            }),
            open_stdin: Some(session.config.attach_stdin.unwrap_or(false)),
            open_stderr: Some(session.config.attach_stderr.unwrap_or(false)),
            open_stdout: Some(session.config.attach_stdout.unwrap_or(false)),
            container_id: Some(session.container),
            pid: Some(i64::from(pid)),
        })
    }
}
