//! Machines of their own: virtual machines that are no container's, with disks, snapshots and a life of their own.
//!
//! ```text
//!            create, clone, import, import-xml
//!                          │
//!                          ▼      start
//!          ┌────────────► off ──────────────────► running ◄──────────┐
//!          │               ▲                      │ │  ▲ │           │ resume
//!          │ stop --force  │ stop, kill, shutdown │ │  │ │ suspend   │
//!          │               └──────────────────────┘ │  │ │ --memory  │
//!      suspended ◄──────────────────────────────────┘  │ └──────► paused
//!          │              suspend                      │
//!          └───────────────────────────────────────────┘  resume, start
//! ```
//!
//! `reboot` is stop and start; `restore` goes to what the snapshot was: off, or running. One owner makes all transitions:
//! whoever holds the machine's turn ([`machines::Machine::turn`]); the end of a monitor is booked by the task that
//! follows it (`follow.rs`).
//!
//! ```text
//! <data root>/machines/<name>/
//!   machine.toml             the definition, for people too (record.rs), replaced whole
//!   files/<name>             disks, kernels, images of the machine's own
//!   seed.iso                 what cloud-init reads, made at each start
//!   saved/                   of a suspended machine: snapshot.toml, state
//!   snapshots/<name>/        snapshot.toml, state (of a live one), disks/<disk>
//!   restoring                while disks are put back: the snapshot's name
//!   exit.json                how the last run ended
//!   console.log, .1          what the guest said on its serial port, bounded
//! <runtime root>/machines/<name>/
//!   machine.toml             of a running one: what it was when it was started
//!   run.json plan.json keeper.sock jail/ vm-run/     see [`keeper`]
//! ```
//!
//! Whatever takes more than one step is made beside its place under a name with `draft` in it, and renamed: what a killed
//! daemon leaves half made is swept at the next start. A running machine belongs to its keeper, a process that outlives
//! the daemon; the daemon's stop leaves machines alone.

mod autostart;
mod backing;
mod clone;
mod console;
pub mod copy;
mod create;
pub mod definition;
mod edit;
mod error;
mod export;
mod files;
mod follow;
mod identity;
mod import;
mod inspect;
pub mod keeper;
mod list;
pub mod machines;
mod network;
pub mod pci;
pub mod qcow2;
mod qemu;
mod reboot;
pub mod record;
mod recover;
mod remove;
mod restore;
mod resume;
mod seed;
mod set;
mod snapshot;
mod start;
mod state;
mod stop;
mod suspend;
pub mod xml;

pub use console::Console;
pub use create::{Create, Fill};
pub use error::{Error, Result};
pub use inspect::View;
pub use list::Summary;
pub use machines::{Config, Machines, Status};
pub use set::Set;
pub use stop::Stop;
pub use xml::Imported;

use std::pin::Pin;

/// Bytes as they come.
pub type ByteStream = Pin<Box<dyn futures_util::Stream<Item = std::io::Result<bytes::Bytes>> + Send>>;
