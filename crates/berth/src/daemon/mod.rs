//! `berth daemon`: from flags and file to listening sockets, and back.
//!
//! ```text
//! options ─► configuration ─► lock, pidfile, sockets ─► nouns ─► recover ─► serve ─► signal ─► stop
//! ```
//!
//! Sockets are bound before the nouns open, so that a second daemon fails before it touches anything, and a client
//! that is too early waits instead of being refused.

mod assemble;
mod configuration;
#[cfg(test)]
mod document;
mod facts;
mod file;
mod help;
mod listen;
mod network;
mod option;
mod options;
mod parse;
mod place;
mod rest;
mod serve;
mod storage;
mod systemd;
mod tls;
mod trace;
mod value;

use std::{ffi::OsString, process::ExitCode, sync::Arc};

use anyhow::{Context, Result};

use crate::rootless;
use configuration::Configuration;

/// Threads of the runtime: requests are short, and long work is on blocking threads.
const WORKERS: usize = 2;
/// Stack of each thread, in bytes.
const STACK_BYTES: usize = if cfg!(debug_assertions) { 2 << 20 } else { 512 << 10 };
/// Arenas of the allocator: each thread more would keep freed memory of its own.
const ARENAS: i32 = 2;

/// What the command line asks for.
enum Wish {
    Run,
    Validate,
    Help,
    Version,
}

/// Runs the daemon; returns after it was stopped.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("berth daemon: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[OsString]) -> Result<()> {
    // Before anything else is opened: only now do the numbers surely mean what was passed.
    let passed = systemd::sockets();
    let flags = parse::arguments(arguments)?;
    match wish(&flags) {
        Wish::Help => {
            print!("{}", help::text());
            return Ok(());
        }
        Wish::Version => {
            println!("berth version {}, build {}", env!("CARGO_PKG_VERSION"), facts::COMMIT);
            return Ok(());
        }
        Wish::Run | Wish::Validate => {}
    }
    let configuration = Configuration::load(&flags)?;
    if matches!(wish(&flags), Wish::Validate) {
        println!("configuration OK");
        return Ok(());
    }
    if rootless::is_needed() {
        return Err(rootless::enter(&configuration.exec_root));
    }
    trace::start(&configuration);
    berth_sys::allocator::limit_arenas(ARENAS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .thread_stack_size(STACK_BYTES)
        .thread_name("berth")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(live(flags, Arc::new(configuration), passed));
    // Blocking threads may hang in a dead file system: they must not hold up the end.
    runtime.shutdown_background();
    outcome
}

fn wish(flags: &value::Values) -> Wish {
    if flags.flag("help") {
        Wish::Help
    } else if flags.flag("version") {
        Wish::Version
    } else if flags.flag("validate") {
        Wish::Validate
    } else {
        Wish::Run
    }
}

/// The daemon's life.
async fn live(flags: value::Values, configuration: Arc<Configuration>, passed: Vec<systemd::Passed>) -> Result<()> {
    configuration.announce();
    let place = place::Place::take(&configuration)?;
    let listeners = listen::bind(&configuration, passed)?;
    let engine = assemble::engine(&configuration, &listeners).await?;
    let stop = serve::start(&engine, listeners);
    systemd::notify("READY=1");
    let watchdog = systemd::watchdog();
    tracing::info!(ready_ms = place.age().as_millis() as u64, "berth is ready");
    let configuration = serve::until_told(&engine, flags, configuration).await;
    systemd::notify("STOPPING=1");
    tracing::info!("stopping");
    stop.accepting();
    assemble::shut_down(&engine, &configuration).await;
    stop.connections().await;
    drop(watchdog);
    place.leave();
    if rootless::is_inside() && engine.containers.counts().running == 0 {
        rootless::leave(&configuration.exec_root);
    }
    Ok(())
}
