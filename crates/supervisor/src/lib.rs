//! One small process for each container: it owns the container's standard streams, log and exit code, and outlives the
//! daemon.
//!
//! ```text
//!  berth daemon (tokio)                    berth supervise <bundle> (one thread, epoll)
//!  ───────────────────                     ──────────────────────────────────────────────────
//!  spawn() ── exec, stdin = socket ──────► read bundle, open log, listen, create the container
//!          ◄── Ready{pid} | Failed{step} ──
//!  Handle::start() ── Start ─────────────► open the gate: the container's first process execs
//!  Handle::attach(), exec(), resize() … ─► <bundle>/supervisor.sock
//!  Handle::watch() ◄── Exited, ExecExited, OomKilled
//!          (daemon dies)                   goes on: log, stdin, execs, exit code
//!          (daemon starts again) ────────► connects to the same socket
//!                                          <bundle>/exit.json is written, then watchers are told
//! ```
//!
//! The bundle directory:
//!
//! ```text
//! config.json       OCI runtime specification
//! berth.json        what the runtime needs beside it (root file system, id range)
//! supervisor.json   [`Settings`]: log driver, stdin rules
//! supervisor.sock   mode 0600; only the same user is answered
//! exit.json         [`ExitRecord`], once, atomically
//! ```
//!
//! [`process`] is the supervisor itself and never sees tokio; [`client`] and [`spawn`] are the daemon's side.

pub mod client;
mod error;
mod exit;
pub mod isolation;
mod path;
pub mod process;
pub mod protocol;
mod settings;
mod spawn;

pub use client::Handle;
pub use error::{Error, Result};
pub use exit::ExitRecord;
pub use settings::Settings;
pub use spawn::{Spawned, kill, spawn};
