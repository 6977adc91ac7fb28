//! The container noun: its records, its life and everything that can be asked of it.
//!
//! # Life
//!
//! ```text
//!            create                start                     exit
//!   (none) ────────► Created ────────────► Running ────────────────► Exited
//!                       │      ▲            │  ▲                       │  │
//!                       │      │      pause │  │ unpause       start   │  │ policy
//!                       │      │            ▼  │            ◄──────────┘  ▼
//!                       │      │           Paused                     Restarting
//!                       │      └──────────────────────────────────────────┘ back-off over
//!                       └──────────► Removing ──────► (none)        from Created, Exited, Dead
//! ```
//!
//! Every transition is made by the holder of the container's `turn` lock (see [`containers::Container`]). The record
//! is written before the effect: a daemon that dies at any line finds in `recover` either the old state and no
//! effect, or the new state and an effect that it can finish or undo.
//!
//! # On disk
//!
//! ```text
//! <data root>/berth.db                     record "container"
//! <data root>/containers/<id>/             hostname, hosts, resolv.conf, <id>-json.log or local-logs/
//! <runtime root>/containers/<id>/          bundle: config.json, berth.json, supervisor.sock, exit.json
//! ```
//!
//! # Reading
//!
//! A verb is a file: `start.rs` starts. `oci_spec/` is a pure function from record to runtime specification.

mod archive;
mod attach;
mod bundle;
mod changes;
mod commit;
mod config;
mod connect;
mod containers;
mod create;
mod detach;
mod device_request;
mod endpoint;
mod entry;
mod error;
mod exec;
mod exit;
mod export;
mod filter;
mod frame;
mod health;
mod id_range;
mod identity;
mod image_config;
mod inspect;
mod kill;
mod link;
mod list;
mod logs;
pub mod machine;
mod mount;
mod names;
mod oci_spec;
mod pause;
mod port;
mod prune;
mod publish;
mod record;
mod recover;
mod remove;
mod rename;
mod request;
mod resize;
mod restart;
mod rootfs;
mod start;
mod stats;
mod step;
mod stop;
mod top;
mod update;
mod usage;
mod validate;
mod wait;

pub use archive::{PathStat, consume, produce};
pub use config::{Config, LogDefault};
pub use containers::Containers;
pub use error::{Error, Result};
pub use oci_spec::{MASKED as MASKED_PATHS, READ_ONLY as READ_ONLY_PATHS};
pub use request::*;
pub use step::{RunningStep, StepMount, StepRequest};
pub use wait::Waiting;
