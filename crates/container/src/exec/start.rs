//! `exec start`: the process of a session, by the container's supervisor.

use std::sync::Arc;

use berth_supervisor::protocol::Exec;
use serde_json::json;

use super::{Session, SessionState, lock};
use crate::{
    Containers, Duplex, Error, ExecStartRequest, ExecStarted, Result, containers::Container, detach, frame, oci_spec,
    record::Record,
};

impl Containers {
    /// Starts a session, and connects to its streams unless detached.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it was started before, [`Error::Start`] with exit code 126 or 127 when its command
    /// cannot be executed.
    pub async fn exec_start(&self, id: &str, request: ExecStartRequest) -> Result<ExecStarted> {
        let session = self.shared.execs.find(id)?;
        let (config, owner) = {
            let mut session = lock(&session);
            match session.state {
                SessionState::Created => session.state = SessionState::Running(0),
                SessionState::Running(_) => return Err(Error::Conflict(format!("exec {id} is already running"))),
                SessionState::Exited(_) => return Err(Error::Conflict(format!("exec {id} has already run"))),
            }
            (session.config.clone(), session.container.clone())
        };
        let outcome = self.start_session(&session, &owner, id, &config, &request).await;
        if let Err(error) = &outcome {
            let code = if let Error::Start { exit_code, .. } = error { *exit_code } else { 126 };
            lock(&session).state = SessionState::Exited(code);
        }
        match outcome {
            // As Docker does: a client that is connected reads why, and finds the code when it asks how it ended.
            Err(Error::Start { message, .. }) if !request.detach => {
                let tty = config.tty.unwrap_or(false) && request.tty;
                let stream = detach::saying(&format!("OCI runtime exec failed: {message}\r\n"), tty);
                Ok(ExecStarted::Attached { stream, tty })
            }
            other => other,
        }
    }

    async fn start_session(
        &self,
        session: &std::sync::Mutex<Session>,
        owner: &str,
        id: &str,
        config: &berth_spec::model::ExecConfig,
        request: &ExecStartRequest,
    ) -> Result<ExecStarted> {
        let container = self.shared.find(owner)?;
        let record = container.read().clone();
        if !record.state.status.is_alive() {
            return Err(Error::NotRunning(owner.to_owned()));
        }
        let tty = config.tty.unwrap_or(false);
        let configured = config.console_size.as_deref().and_then(|size| match size {
            [rows, columns] => Some((u16::try_from(*rows).ok()?, u16::try_from(*columns).ok()?)),
            _ => None,
        });
        let attached = !request.detach;
        let handle = self.supervisor(owner).await?;
        let started = handle.exec(Exec {
            id: id.to_owned(),
            process: process(&record, &self.link_environment(&record), config)?,
            tty,
            stdin: attached && config.attach_stdin.unwrap_or(false),
            stdout: attached && config.attach_stdout.unwrap_or(false),
            stderr: attached && config.attach_stderr.unwrap_or(false),
            size: request.size.or(configured),
        });
        let (pid, stream) = started.await.map_err(|error| match error {
            berth_supervisor::Error::Failed(failure) if failure.step != "state" => {
                Error::Start { exit_code: failure.exit_code().min(127), message: failure.message }
            }
            other => Error::Supervisor(other),
        })?;
        {
            let mut session = lock(session);
            if session.state == SessionState::Running(0) {
                session.state = SessionState::Running(u32::try_from(pid).unwrap_or(0));
            }
        }
        let text = config.cmd.as_deref().unwrap_or(&[]).join(" ");
        self.shared.publish(&container, &format!("exec_start: {text}"), &[("execID", id.to_owned())]);
        let keys = detach::parse(config.detach_keys.as_deref())?;
        let Some(stream) = stream else { return Ok(ExecStarted::Detached) };
        let mut stream: Duplex = Box::new(stream);
        if tty && config.attach_stdin.unwrap_or(false) {
            stream = detach::on_keys(stream, keys);
        }
        // Who does not say at the start that the session has a terminal expects frames.
        if tty && !request.tty {
            stream = frame::as_output(stream);
        }
        Ok(ExecStarted::Attached { stream, tty: tty && request.tty })
    }

    /// Books the end of a session's process.
    pub(crate) fn exec_exited(&self, container: &Arc<Container>, id: &str, code: i64) {
        if id.starts_with(crate::machine::tool::PREFIX) {
            return;
        }
        if let Ok(session) = self.shared.execs.find(id) {
            lock(&session).state = SessionState::Exited(code);
        }
        self.shared.publish(container, "exec_die", &[("execID", id.to_owned()), ("exitCode", code.to_string())]);
    }
}

/// The process of a session: the container's environment and directory, its capabilities unless privileged.
pub(crate) fn process(
    record: &Record,
    linked: &[String],
    config: &berth_spec::model::ExecConfig,
) -> Result<::oci_spec::runtime::Process> {
    let privileged = config.privileged.unwrap_or(false) || record.host.privileged.unwrap_or(false);
    let user = config.user.as_deref().filter(|user| !user.is_empty()).or(record.config.user.as_deref()).unwrap_or("");
    let dir = config.working_dir.as_deref().filter(|dir| !dir.is_empty()).or(record.config.working_dir.as_deref());
    let (tty, own) = (config.tty.unwrap_or(false), config.env.as_deref().unwrap_or(&[]));
    let process = json!({
        "terminal": tty,
        "user": oci_spec::user(user),
        "args": config.cmd,
        "env": oci_spec::exec_environment(record, tty, linked, own),
        "cwd": oci_spec::working_dir(dir),
        "capabilities": oci_spec::capabilities(&record.host, privileged)?,
        "noNewPrivileges": record.host.security_opt.iter().flatten().any(|option| {
            option == "no-new-privileges" || option == "no-new-privileges=true" || option == "no-new-privileges:true"
        }),
    });
    serde_json::from_value(process)
        .map_err(|error| Error::Invalid(format!("this exec makes no valid process specification: {error}")))
}
