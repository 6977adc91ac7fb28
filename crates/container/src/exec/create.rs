//! `exec create`.

use berth_spec::model::ExecConfig;

use super::{Session, SessionState};
use crate::{Containers, Error, Result, entry, record::Status};

impl Containers {
    /// Makes an exec session in a running container.
    ///
    /// # Errors
    /// [`Error::NotRunning`], [`Error::Paused`], [`Error::Invalid`] without a command.
    pub async fn exec_create(&self, name: &str, config: ExecConfig) -> Result<String> {
        let container = self.shared.find(name)?;
        match container.status() {
            Status::Running => {}
            Status::Paused => {
                return Err(Error::Conflict(format!("container {name} is paused, unpause the container before exec")));
            }
            Status::Restarting => {
                return Err(Error::Conflict(format!(
                    "Container {} is restarting, wait until the container is running",
                    container.id
                )));
            }
            _ => return Err(Error::NotRunning(container.id.clone())),
        }
        let command = config.cmd.clone().unwrap_or_default();
        if command.first().is_none_or(String::is_empty) {
            return Err(Error::Invalid("No exec command specified".to_owned()));
        }
        if let Some(entry) = config.env.iter().flatten().find(|entry| entry.starts_with('=') || entry.contains('\0')) {
            return Err(Error::Invalid(format!("invalid environment variable: {entry}")));
        }
        entry::no_nul("Cmd", command.iter().map(String::as_str))?;
        entry::no_nul("User", config.user.as_deref())?;
        entry::no_nul("WorkingDir", config.working_dir.as_deref())?;
        if let Some(dir) = config.working_dir.as_deref().filter(|dir| !dir.is_empty() && !dir.starts_with('/')) {
            let text = format!("the working directory '{dir}' is invalid, it needs to be an absolute path");
            return Err(Error::Invalid(text));
        }
        crate::detach::parse(config.detach_keys.as_deref())?;
        let id = berth_kit::id::generate();
        self.shared.execs.insert(Session {
            id: id.clone(),
            container: container.id.clone(),
            config,
            state: SessionState::Created,
        });
        let text = command.join(" ");
        self.shared.publish(&container, &format!("exec_create: {text}"), &[("execID", id.clone())]);
        Ok(id)
    }
}
