//! `berth`: one binary, several programs. The first argument says which.
//!
//! | argument | program |
//! |---|---|
//! | `supervise` | owns one container; started by the daemon, outlives it |
//! | `keep` | keeps one virtual machine; started by the daemon, outlives it |
//! | `daemon` | answers the Engine API |
//! | `runtime` | the OCI runtime's command line; also when the program is called `berth-runtime` |
//! | `guest` | process 1 of a virtual machine |
//! | `vmm` | runs one virtual machine on KVM |
//! | `share` | serves directories to a virtual machine; started by its supervisor |
//! | `registry` | the registry server and its commands |
//! | `relay` | carries IPv6 to published ports of containers without it; started by the daemon, outlives it |
//! | `rootless` | holds the namespaces of an engine without root, and carries its ports; outlives the daemon |
//! | `resolve` | answers questions about names on networks; started by the daemon, outlives it |
//! | `hello` | what the embedded image `berth/hello` runs |
//! | anything else | the client |

mod daemon;
mod hello;
mod rootless;

use std::{ffi::OsString, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if arguments.next().is_some_and(|name| Path::new(&name).ends_with("berth-runtime")) {
        return berth_oci::main(arguments.collect());
    }
    match arguments.next().as_deref().and_then(|mode| mode.to_str()) {
        Some("supervise") => supervise(arguments.next()),
        Some("keep") => keep(arguments.next()),
        Some("daemon") => daemon::main(arguments.collect()),
        Some("runtime") => berth_oci::main(arguments.collect()),
        Some("vmm") => berth_vmm::command::main(arguments.collect()),
        Some("guest") => berth_vm::guest::main(&arguments.collect::<Vec<_>>()),
        Some("share") => berth_share::main(&arguments.collect::<Vec<_>>()),
        Some("registry") => berth_registry::command::main(arguments.collect()),
        Some("resolve") => resolve(arguments.next()),
        Some("relay") => relay(arguments.next()),
        Some("rootless") => rootless::hold(arguments.next()),
        Some("hello") => hello::main(),
        _ => berth_cli::main(std::env::args_os().skip(1).collect()),
    }
}

/// Its one argument is the directory of what it knows.
fn resolve(dir: Option<OsString>) -> ExitCode {
    match dir {
        Some(dir) => berth_dns::main(Path::new(&dir)),
        None => {
            eprintln!("berth resolve: it is started by the daemon, with a directory");
            ExitCode::from(125)
        }
    }
}

/// Its one argument is the directory of its socket.
fn relay(dir: Option<OsString>) -> ExitCode {
    match dir {
        Some(dir) => berth_network::relay::main(Path::new(&dir)),
        None => {
            eprintln!("berth relay: it is started by the daemon, with a directory");
            ExitCode::from(125)
        }
    }
}

/// Its one argument is the machine's run directory.
fn keep(run: Option<OsString>) -> ExitCode {
    match run {
        Some(run) => berth_machine::keeper::process::main(Path::new(&run)),
        None => {
            eprintln!("berth keep: it is started by the daemon, with a machine's directory");
            ExitCode::from(125)
        }
    }
}

/// Its one argument is the bundle, or stands for it.
fn supervise(bundle: Option<OsString>) -> ExitCode {
    match bundle {
        Some(bundle) => berth_supervisor::process::main(Path::new(&bundle)),
        None => {
            eprintln!("berth supervise: it is started by the daemon, with a bundle");
            ExitCode::from(125)
        }
    }
}
