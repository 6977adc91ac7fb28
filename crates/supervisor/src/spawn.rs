//! Starting a supervisor from the daemon.

use std::{
    os::{fd::OwnedFd, unix::net::UnixStream as StdStream},
    path::Path,
    process::Stdio,
};

use tokio::{net::UnixStream, process::Command};

use crate::{
    Error, Result,
    client::{self, Handle},
    protocol::Reply,
};

/// A supervisor with its container at the gate.
#[derive(Debug)]
pub struct Spawned {
    /// The container's first process.
    pub pid: i32,
    /// The supervisor's process.
    pub supervisor_pid: u32,
    /// To start the container with.
    pub handle: Handle,
}

/// Runs `<program> supervise <bundle>` and waits until it has created the container.
///
/// The socket travels as standard input: without anything to do between fork and exec, the standard library takes its
/// `posix_spawn` path, which does not copy the daemon's page tables. The supervisor leaves the daemon's session by
/// itself and is no child that the daemon's end would touch.
///
/// # Errors
/// [`Error::Spawn`], or [`Error::Failed`] with the step that failed; nothing is left behind then.
pub async fn spawn(bundle: &Path, program: &Path) -> Result<Spawned> {
    let fail = |source| Error::Spawn { program: program.to_owned(), source };
    let (ours, theirs) = StdStream::pair().map_err(fail)?;
    ours.set_nonblocking(true).map_err(fail)?;
    let mut command = Command::new(program);
    command.arg0("berth").arg("supervise").arg(bundle).env_clear();
    command.envs(berth_kit::guard::weakness().map(|names| (berth_kit::guard::VARIABLE, names)));
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
    let mut supervisor = command.spawn().map_err(fail)?;
    // The command holds a copy of the other end, which would hide the end of a supervisor that dies.
    drop(command);
    let supervisor_pid = supervisor.id().unwrap_or(0);
    // Collected whenever it ends; the daemon's own end orphans it, and process 1 collects it then.
    tokio::spawn(async move {
        let _ = supervisor.wait().await;
    });
    let mut stream = UnixStream::from_std(ours).map_err(fail)?;
    match client::receive(bundle, &mut stream).await? {
        Reply::Ready { pid } => Ok(Spawned { pid, supervisor_pid, handle: Handle::over(bundle, stream) }),
        other => Err(Error::Protocol { path: bundle.to_owned(), answer: format!("{other:?}") }),
    }
}

/// Kills the supervisor of a bundle, if one listens there, and with it a container that waits at the gate. For containers
/// without control groups, which cannot be found by these.
pub fn kill(bundle: &Path) {
    let Ok(path) = crate::path::SocketPath::in_bundle(bundle) else { return };
    let Ok(stream) = StdStream::connect(path.get()) else { return };
    if let Ok(peer) = rustix::net::sockopt::socket_peercred(&stream) {
        // It may end by itself meanwhile.
        let _ = rustix::process::kill_process(peer.pid, rustix::process::Signal::KILL);
    }
}
