//! `berth runtime`: the command line by which Docker, containerd and Podman drive a runtime, with runc's grammar.
//!
//! ```text
//!   create ──► created ── start ──► running ◄── pause, resume ──► paused
//!                │                    │ exec, ps, update, events, kill
//!                └──────► stopped ◄───┘ ── delete ──► gone
//! ```
//! Nothing runs between two calls: a container's directory below `--root` ([`store`]) holds what the next one needs,
//! and the kernel says the rest. The process that starts a container is not the one that made it, so init waits for a
//! [latch](berth_runtime::Latch). Sources: OCI runtime specification, "Runtime and Lifecycle" and "Command Line
//! Interface" (opencontainers/runtime-tools), runc(8).

mod bundle;
mod checkpoint;
mod console;
mod create;
mod delete;
mod error;
mod events;
mod exec;
mod features;
mod grammar;
mod kill;
mod list;
mod log;
mod pause;
mod ps;
mod record;
mod rootless;
mod run;
mod signal;
mod spec;
mod start;
mod state;
mod store;
mod update;

use std::{ffi::OsString, process::ExitCode};

pub use error::{Error, Result};

use grammar::Command;

/// The version of the runtime specification that is kept.
pub const SPEC_VERSION: &str = "1.3.0";

/// Every verb, in the order of the help.
static COMMANDS: &[&Command] = &[
    &checkpoint::CHECKPOINT,
    &create::COMMAND,
    &delete::COMMAND,
    &events::COMMAND,
    &exec::COMMAND,
    &features::COMMAND,
    &kill::COMMAND,
    &list::COMMAND,
    &pause::PAUSE,
    &ps::COMMAND,
    &checkpoint::RESTORE,
    &pause::RESUME,
    &run::COMMAND,
    &spec::COMMAND,
    &start::COMMAND,
    &state::COMMAND,
    &update::COMMAND,
];

/// Runs one call; `arguments` come after `berth runtime`. The caller must have a single thread.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    if let Err(errno) = berth_sys::exe::run_sealed() {
        eprintln!("berth runtime: the program cannot be kept from containers that are to run on it: {errno}");
        return ExitCode::FAILURE;
    }
    let arguments = arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let outcome = match grammar::parse(COMMANDS, arguments) {
        Ok(grammar::Asked::Text(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Ok(grammar::Asked::Call(command, call)) => (command.run)(&call).map_err(|error| (Box::new(call.global), error)),
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err((global, error)) => {
            log::failure(&global, &error);
            ExitCode::FAILURE
        }
    }
}
