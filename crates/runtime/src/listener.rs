//! Who decides about system calls for which the filter says `SCMP_ACT_NOTIFY`: an agent of the caller's, behind a
//! socket of the host (`linux.seccomp.listenerPath`).

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use berth_sys::message;
use oci_spec::runtime::{ContainerProcessState, LinuxSeccomp, SECCOMP_FD_NAME, State};

use crate::error::{Error, Failure, Result};
use crate::seccomp::Program;

/// A connection to the agent, made while the host's files can be seen.
#[derive(Debug)]
pub(crate) struct Listener(UnixStream);

impl Listener {
    /// Connects when the filter asks somebody.
    pub(crate) fn connect(seccomp: Option<&LinuxSeccomp>, filter: Option<&Program>) -> Result<Option<Self>> {
        if !filter.is_some_and(|filter| filter.notifies) {
            return Ok(None);
        }
        let Some(path) = seccomp.and_then(|seccomp| seccomp.listener_path().as_ref()) else {
            let reason = String::from("SCMP_ACT_NOTIFY needs a listener, and there is none");
            return Err(Error::InvalidSpec { field: "linux.seccomp", reason });
        };
        UnixStream::connect(path).map(|socket| Some(Self(socket))).map_err(|error| {
            let reason = format!("{}: {error}", path.display());
            Error::InvalidSpec { field: "linux.seccomp.listenerPath", reason }
        })
    }

    /// In the new process: sends the filter's descriptor, and says whose it is.
    pub(crate) fn hand_over(&self, filter: &OwnedFd, whose: &[u8]) -> std::result::Result<(), Failure> {
        let hand = || {
            message::send(self.0.as_fd(), &whose[..whose.len().min(1)], &[filter.as_fd()])?;
            (&self.0).write_all(whose.get(1..).unwrap_or_default())
        };
        hand().map_err(|error| {
            let errno = berth_sys::Errno::from_io_error(&error).unwrap_or(berth_sys::Errno::IO);
            Failure::kernel("seccomp", "cannot hand the filter to its agent", errno)
        })
    }
}

/// The words that go to hooks and to the agent, for the process `pid` of a container.
pub(crate) fn words(state: &State, seccomp: Option<&LinuxSeccomp>, pid: i32) -> Result<Vec<u8>> {
    let mut whole = ContainerProcessState::default();
    whole.set_version(state.version().clone()).set_pid(pid).set_state(state.clone());
    whole.set_fds(vec![SECCOMP_FD_NAME.to_owned()]);
    whole.set_metadata(seccomp.and_then(|seccomp| seccomp.listener_metadata().clone()));
    serde_json::to_vec(&whole)
        .map_err(|source| Error::ParseBundle { path: "the state of the container".into(), source })
}

/// What [`words`] said about the container.
pub(crate) fn state(words: &[u8]) -> State {
    // They were made by this program a moment ago.
    serde_json::from_slice::<ContainerProcessState>(words).map(|whole| whole.state().clone()).unwrap_or_default()
}
