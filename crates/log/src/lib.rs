//! Container logs: where the supervisor writes what a container prints, and how the daemon reads it back.
//!
//! ```text
//! container ─pipe─► Splitter ─Entry─► dyn LogDriver ─► json-file   <path>, <path>.1[.gz], <path>.2[.gz] …
//!                   (lines of at                   ├─► local       the same, framed binary
//!                    most 16 KiB)                  ├─► journald    /run/systemd/journal/socket
//!                                                  ├─► syslog      unix, udp, tcp
//!                                                  └─► none
//! daemon ◄─Record─ Reader ◄── json-file and local only, across rotations, live
//! ```
//!
//! Everything here is synchronous and small enough for a process of one mebibyte: a driver owns one bounded buffer,
//! never a thread. Logs are bounded by default (5 files of 20 MiB).

pub mod contract;
mod driver;
mod error;
mod journald;
mod json_file;
mod local;
mod none;
mod option;
mod read;
mod rotate;
mod split;
mod syslog;
mod tag;

pub use driver::{Entry, LogDriver};
pub use error::{Error, Result};
pub use local::frame;
pub use option::{LogConfig, Mode, is_readable, validate};
pub use read::{ReadOptions, Reader, Record, watch};
pub use split::{LINE_MAX, Splitter};
pub use tag::ContainerTags;

pub use berth_spec::stream::Stream;

use std::path::Path;

/// Opens the driver that `config` names, ready to append.
///
/// `path` is the log file of drivers that keep one; the others ignore it. The [`Mode`] is the caller's business: every
/// driver opened here is written in the caller's own thread.
///
/// # Errors
/// [`Error`] when an option is refused, the file cannot be opened, or the log service does not answer.
pub fn open(config: &LogConfig, path: &Path, tags: &ContainerTags) -> Result<Box<dyn LogDriver>> {
    validate(&config.driver, &config.options)?;
    Ok(match config.driver.as_str() {
        "none" => Box::new(none::None),
        "local" => Box::new(local::Local::open(path, option::rotation(config)?)?),
        "journald" => Box::new(journald::Journald::open(Path::new(journald::SOCKET), config, tags)?),
        "syslog" => Box::new(syslog::Syslog::open(config, tags)?),
        _ => Box::new(json_file::JsonFile::open(path, config, tags)?),
    })
}
