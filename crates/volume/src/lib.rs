//! Volumes: directories that outlive containers.
//!
//! # On disk
//!
//! ```text
//! <data root>/berth.db                      record "volume", id = name
//! <data root>/volumes/<name>/_data          what containers see (driver `local`)
//! <data root>/volumes/<name>/disk           a volume with a size: its file system, mounted on _data while it is used
//! <data root>/volumes/.removing-<name>      a volume whose removal was cut short; swept at the next start
//! <runtime root>/scratch/<name>/_data       the same for driver `scratch`, gone with a reboot
//! ```
//!
//! The record is written before the directory. A directory that is missing although its record exists is made again
//! when a container takes the volume, so a crash between the two costs nothing.
//!
//! Users of a volume are containers, by id: [`Volumes::acquire`] notes one and hands out the path,
//! [`Volumes::rest`] says that it does not run, [`Volumes::release`] forgets it. Users live in memory only; each container tells them again at recovery.

pub mod contract;
mod create;
mod driver;
mod duplicate;
mod error;
mod filter;
mod hold;
mod list;
mod local;
pub mod plugin;
mod prune;
mod record;
mod remove;
mod rename;
mod scratch;
mod transfer;
mod turn;
mod usage;
mod volumes;

pub use driver::{Driver, Location, VolumeDriver};
pub use duplicate::{DuplicateRequest, SNAPSHOT_LABEL};
pub use error::{Error, Result};
pub use filter::Terms;
pub use hold::Held;
pub use list::Listed;
pub use local::Local;
pub use prune::Pruned;
pub use record::{Record, View};
pub use scratch::Scratch;
pub use transfer::export;
pub use volumes::{Config, Volumes};

/// The label that Docker puts on volumes nobody named.
pub const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";
