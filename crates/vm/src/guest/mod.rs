//! The engine's program as process 1 of a guest: it makes the guest a place for one container, and runs that container
//! with the code that the host uses.
//!
//! ```text
//! boot (file systems, modules, the port) ─► serve: one loop over the port and the ends of processes
//!                                              │ Setup ─► setup: root, disks, network, clock
//!                                              │ Create, Release, Exec … ─► workload: the runtime
//!                                              └ the port is closed ─► power off
//! ```
//!
//! ```text
//! /run/berth/lower    the image, read only (erofs)
//! /run/berth/disk     the disk for changes, or a tmpfs; upper and work below it
//! /run/berth/rootfs   the overlay of both
//! /run/berth/share    directories of the host, by number
//! /run/berth/files    files that came with the set-up, by number
//! /run/berth/bundle   what the runtime reads
//! ```

mod boot;
mod serve;
mod setup;
pub mod tool;
mod workload;

use std::{ffi::OsString, process::ExitCode};

/// The name of the port between host and guest (`virtserialport,name=`).
pub const PORT: &str = "berth";
/// Serial number of the disk that holds the image.
pub const ROOT_SERIAL: &str = "berth-root";
/// Serial number of the disk for changes.
pub const UPPER_SERIAL: &str = "berth-upper";

const LOWER: &str = "/run/berth/lower";
const DISK: &str = "/run/berth/disk";
const ROOTFS: &str = "/run/berth/rootfs";
const SHARE: &str = "/run/berth/share";
const FILES: &str = "/run/berth/files";
const BUNDLE: &str = "/run/berth/bundle";
/// The container's control group.
const CGROUP: &str = "/berth/container";

/// The guest's process 1; with arguments, a [`tool`] of its. Returns only where it is neither; otherwise the guest ends
/// with it.
pub fn main(arguments: &[OsString]) -> ExitCode {
    if !arguments.is_empty() {
        return tool::main(arguments);
    }
    if std::process::id() != 1 {
        eprintln!("berth guest: it is process 1 of a virtual machine, started by the engine");
        return ExitCode::from(125);
    }
    match boot::prepare().and_then(serve::Guest::new).and_then(serve::Guest::run) {
        Ok(()) => {}
        Err(error) => eprintln!("berth guest: {}", crate::message::Failure::of("guest", &error).message),
    }
    rustix::fs::sync();
    // The monitor runs with "no reboot": a reset is its end, and needs no ACPI.
    let _ = rustix::system::reboot(rustix::system::RebootCommand::Restart);
    ExitCode::FAILURE
}
