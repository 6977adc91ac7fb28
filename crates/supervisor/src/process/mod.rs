//! The supervisor's own process: one thread, one epoll set, one buffer.
//!
//! ```text
//! main ─► prepare (session, standard streams) ─► Supervisor::new (log, socket, container at its gate) ─► Ready
//!                                                    │
//!                     ┌──────── epoll ◄──────────────┘
//!                     ▼
//!   dispatch: one event ─► output | input | request | end of a process | log | out of memory
//!                     ▼
//!   settle: finished tasks, closed clients, who has to wait for whom
//!                     ▼
//!   main process ended, everything read ─► exit record ─► cgroup removed ─► watchers told ─► exit
//! ```
//!
//! Nothing here waits for a client, and only a log driver in blocking mode may wait for a disk.

mod connection;
mod event_loop;
mod finish;
mod offload;
mod output;
mod request;
mod stdio;
mod task;
#[cfg(test)]
mod test;
mod watched;

use std::{
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::ExitCode,
};

use berth_kit::crash;
use berth_log::Mode;

use self::{
    event_loop::Supervisor,
    offload::Offload,
    output::{Output, Sink},
};
use crate::{
    Error, Result, Settings,
    isolation::{Isolation, process::Namespaces, vm::Machine},
    protocol::{self, Failure, Reply},
};

/// Supervises the container of a bundle until it has ended. Standard input is the daemon's socket, which is told
/// [`Reply::Ready`] or [`Reply::Error`] and then serves requests like any other connection.
///
/// `--log-writer=<bundle>` in the place of the bundle writes that bundle's log instead (`mode=non-blocking`).
pub fn main(bundle: &Path) -> ExitCode {
    if let Some(bundle) = offload::writes_for(bundle) {
        return offload::main(&bundle);
    }
    if let Some(bundle) = argument_of(bundle, "--template=") {
        return make_template(&bundle);
    }
    if let Some(bundle) = argument_of(bundle, "--tool=") {
        return run_tool(&bundle);
    }
    let daemon = match prepare() {
        Ok(daemon) => daemon,
        Err(error) => {
            eprintln!("berth supervise: {}", sentence(&error));
            return ExitCode::from(125);
        }
    };
    watch_for_crash(bundle);
    let outcome = load(bundle).and_then(|(isolation, tty)| build(bundle, isolation, tty));
    let mut supervisor = match outcome {
        Ok(supervisor) => supervisor,
        Err(failure) => {
            refuse(&daemon, failure);
            return ExitCode::FAILURE;
        }
    };
    lower_oom_score();
    crash::point("supervisor");
    supervisor.adopt(daemon);
    crash::point("supervisor");
    match supervisor.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The file of the runtime root that tells debug builds where to die: beside the folder of all bundles.
fn watch_for_crash(bundle: &Path) {
    if let Some(root) = bundle.parent().and_then(Path::parent) {
        crash::watch(&root.join("crash"));
    }
    crash::point("supervisor");
}

/// The bundle behind a flag that stands in the bundle's place.
fn argument_of(argument: &Path, flag: &str) -> Option<PathBuf> {
    argument.to_str()?.strip_prefix(flag).map(PathBuf::from)
}

/// `--tool=<bundle>` runs the tool whose arguments are in the bundle's `tool.json` in a machine of its own, on the own
/// standard streams. The exit code is the tool's; 125 with a sentence on standard error where there is none.
fn run_tool(bundle: &Path) -> ExitCode {
    let _ = berth_sys::process::new_session();
    let arguments = std::fs::read(bundle.join("tool.json")).map_err(|error| error.to_string());
    let arguments = arguments.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
    let outcome = arguments.map_err(|text| Failure::new("bundle", text));
    match outcome.and_then(|arguments| crate::isolation::vm::tool::run(bundle, arguments)) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        Err(failure) => {
            eprintln!("{}", failure.message);
            ExitCode::from(125)
        }
    }
}

/// `--template=<bundle>` makes a template of virtual machines instead; why there is none is told on standard error.
fn make_template(bundle: &Path) -> ExitCode {
    let _ = berth_sys::process::new_session();
    match crate::isolation::vm::template::make(bundle) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{}", failure.message);
            ExitCode::FAILURE
        }
    }
}

/// The isolation that a bundle asks for, and whether its container has a terminal.
fn load(bundle: &Path) -> std::result::Result<(Box<dyn Isolation>, bool), Failure> {
    if Machine::is_in(bundle) {
        return Machine::load(bundle).map(|(machine, tty)| (Box::new(machine) as Box<dyn Isolation>, tty));
    }
    Namespaces::load(bundle).map(|(namespaces, tty)| (Box::new(namespaces) as Box<dyn Isolation>, tty))
}

/// Leaves the daemon's session and signals; returns the daemon's socket, which was standard input.
fn prepare() -> Result<OwnedFd> {
    let fail = |act| move |errno| Error::System { act, source: std::io::Error::from(errno) };
    // Fails only for a process that leads a group already, and then changes nothing that matters.
    let _ = berth_sys::process::new_session();
    let _ = berth_sys::process::set_name(c"berth-supervise");
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE] {
        berth_sys::process::ignore_signal(signal).map_err(fail("ignore signals"))?;
    }
    let daemon = rustix::stdio::stdin().try_clone_to_owned();
    let daemon = daemon.map_err(|source| Error::System { act: "keep the daemon's socket", source })?;
    stdio::set_nonblocking(daemon.as_fd()).map_err(fail("make the daemon's socket non-blocking"))?;
    let null = stdio::null().map_err(fail("open /dev/null"))?;
    rustix::stdio::dup2_stdin(&null).map_err(fail("replace the standard input"))?;
    Ok(daemon)
}

/// Makes everything a supervisor has, and the container at its gate.
fn build(bundle: &Path, isolation: Box<dyn Isolation>, tty: bool) -> std::result::Result<Supervisor, Failure> {
    let prepare = |error: Error| Failure::new("prepare", sentence(&error));
    let settings = Settings::read(bundle).map_err(prepare)?;
    crash::point("supervisor");
    let log = open_log(bundle, &settings).map_err(|error| Failure::new("log", sentence(&error)))?;
    crash::point("supervisor");
    let mut supervisor = Supervisor::new(PathBuf::from(bundle), settings, log, isolation).map_err(prepare)?;
    crash::point("supervisor");
    supervisor.create(tty)?;
    Ok(supervisor)
}

fn open_log(bundle: &Path, settings: &Settings) -> Result<Output> {
    berth_log::validate(&settings.log.driver, &settings.log.options)?;
    let sink = match settings.log.mode()? {
        Mode::NonBlocking { buffer_bytes } if settings.log.driver != "none" => {
            Sink::Offload(Offload::start(bundle, buffer_bytes)?)
        }
        _ => Sink::Direct(berth_log::open(&settings.log, &settings.log_path, &settings.tags)?),
    };
    Ok(Output::new(sink))
}

/// Tells the daemon why there is no container.
fn refuse(daemon: &OwnedFd, failure: Failure) {
    let mut frame = Vec::new();
    protocol::encode(&mut frame, &Reply::Error(failure));
    // A fresh socket takes a whole frame; with the daemon gone there is nobody to tell.
    let _ = rustix::io::write(daemon, &frame);
}

/// The kernel should kill a container before the process that records its end. Not allowed without
/// `CAP_SYS_RESOURCE`, and not needed.
fn lower_oom_score() {
    let _ = std::fs::write("/proc/self/oom_score_adj", "-998");
}

/// An error and its causes in one line.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
