//! The keeper of one running machine: a process of its own, which outlives the daemon.
//!
//! ```text
//!  berth daemon (tokio)                       berth keep <run directory> (one thread, poll)
//!  ────────────────────                       ─────────────────────────────────────────────
//!  spawn() ── exec, stdin = socket ─────────► read plan.json, make the jail with the monitor at its gate
//!          ◄── Ready{pid} | Failed ───────────
//!          (joins the jail to its networks)
//!          ── Start ────────────────────────► taps; the gate opens; the monitor calls for control and console
//!          ◄── Done | Failed ─────────────────
//!  call(), console(), watch() ──────────────► <run directory>/keeper.sock
//!          (daemon dies)                      goes on: console, its log, the monitor
//!          (daemon starts again) ───────────► the same socket
//!                                             the monitor ends: exit.json, then watchers are told
//! ```
//!
//! Requests and replies are JSON, a line each ([`protocol`]); after [`protocol::Request::Console`] the connection is the
//! guest's serial port. Nothing here waits for a client: who does not take its bytes in time is hung up on.

pub mod client;
mod connection;
mod console;
mod event_loop;
pub mod process;
pub mod protocol;
mod qmp;

use std::{
    os::fd::{AsRawFd as _, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

/// The socket in a run directory.
const SOCKET: &str = "keeper.sock";

/// A path to a socket through a descriptor of its directory: the whole one may be too long for an address (unix(7)).
struct Short {
    directory: OwnedFd,
}

impl Short {
    fn of(directory: &Path) -> rustix::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { directory: rustix::fs::open(directory, flags, Mode::empty())? })
    }

    fn join(&self, name: &str) -> PathBuf {
        format!("/proc/self/fd/{}/{name}", self.directory.as_raw_fd()).into()
    }
}
