//! What can go wrong with a cgroup, each variant naming the act and the path it was about.

use std::io;

use berth_kit::{Kind, Kinded};

/// A failed act on a cgroup.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither cgroup v1 nor v2 is mounted.
    #[error("no cgroup hierarchy is mounted: mount one with `mount -t cgroup2 none /sys/fs/cgroup`")]
    NoHierarchy,
    /// A `/proc` file that names the hierarchies could not be read.
    #[error("read {path}")]
    Detect {
        /// The file.
        path: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A parent or name that would leave the hierarchy, or is empty.
    #[error("invalid cgroup path {path:?}: it must be made of plain names")]
    InvalidPath {
        /// The path as given.
        path: String,
    },
    /// A limit was asked for whose controller the kernel does not offer.
    #[error(
        "{limit} needs the cgroup controller {controller:?}, which this kernel does not offer: \
         boot with cgroup_enable={controller}, mount it, or leave the limit out"
    )]
    MissingController {
        /// What was asked for, such as "a memory limit".
        limit: &'static str,
        /// The controller's kernel name.
        controller: &'static str,
    },
    /// The kernel offers the controller but not this setting of it.
    #[error("{limit} needs {file}, which this kernel does not offer: leave it out")]
    MissingSetting {
        /// What was asked for.
        limit: &'static str,
        /// The control file.
        file: String,
    },
    /// `unified` settings belong to cgroup v2 alone.
    #[error("unified cgroup settings need cgroup v2, and this machine runs cgroup v1")]
    UnifiedOnV1,
    /// A `unified` key is not the name of a control file.
    #[error("invalid unified cgroup setting {key:?}: it must be the name of a control file")]
    InvalidUnified {
        /// The key as given.
        key: String,
    },
    /// systemd's manager does not do what it was asked for.
    #[error("cannot {act} the unit {unit}: {reason}")]
    Systemd {
        /// What was asked for: `start`, `update`.
        act: &'static str,
        /// The unit.
        unit: String,
        /// The manager's words, or why it was not reached.
        reason: String,
    },
    /// A directory could not be made.
    #[error("create cgroup {path}")]
    Create {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The cgroup exists and processes run in it.
    #[error("cgroup {path} is in use: it holds {count} processes")]
    InUse {
        /// Its path.
        path: String,
        /// How many processes were found.
        count: usize,
    },
    /// cgroup v2's rule that a cgroup holds either processes or children with controllers.
    #[error(
        "cannot hand the controllers {controllers:?} down from cgroup {path} because it holds processes: \
         move them into a child cgroup, or give berth a cgroup of its own"
    )]
    InternalProcesses {
        /// The cgroup that would hand them down.
        path: String,
        /// The controllers, as written.
        controllers: String,
    },
    /// A cgroup could not be opened.
    #[error("open cgroup {path}")]
    Open {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A control file could not be read.
    #[error("read {file} of cgroup {path}")]
    Read {
        /// The cgroup.
        path: String,
        /// The control file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a value.
    #[error("write {value:?} to {file} of cgroup {path}")]
    Write {
        /// The cgroup.
        path: String,
        /// The control file.
        file: String,
        /// What was written.
        value: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The memory limit is below what is in use and cannot be reclaimed.
    #[error("unable to set memory limit to {limit} (current usage: {usage}, peak usage: {peak})")]
    MemoryInUse {
        /// The limit asked for, in bytes.
        limit: i64,
        /// Bytes used now.
        usage: u64,
        /// The most bytes ever used.
        peak: u64,
    },
    /// A process could not be moved in.
    #[error("move process {pid} into cgroup {path}")]
    Join {
        /// The cgroup.
        path: String,
        /// The process.
        pid: i32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel did not stop all tasks in time.
    #[error("cgroup {path} did not reach the state {state:?} in {waited_ms} ms")]
    Freeze {
        /// The cgroup.
        path: String,
        /// The wanted state.
        state: &'static str,
        /// How long it was waited for.
        waited_ms: u64,
    },
    /// Processes were left after every attempt to kill them.
    #[error("{count} processes of cgroup {path} survived SIGKILL")]
    Kill {
        /// The cgroup.
        path: String,
        /// How many.
        count: usize,
    },
    /// A device filter could not be loaded or attached.
    #[error("attach the device filter to cgroup {path}")]
    DeviceFilter {
        /// The cgroup.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Out-of-memory events could not be watched.
    #[error("watch out-of-memory events of cgroup {path}")]
    Watch {
        /// The cgroup.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The directories could not be removed.
    #[error("remove cgroup {path}")]
    Remove {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::InvalidPath { .. }
            | Error::UnifiedOnV1
            | Error::InvalidUnified { .. }
            | Error::MissingController { .. }
            | Error::MissingSetting { .. }
            | Error::MemoryInUse { .. } => Kind::Invalid,
            Error::InUse { .. } | Error::InternalProcesses { .. } => Kind::Conflict,
            Error::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => Kind::NotFound,
            Error::Write { source, .. } if source.kind() == io::ErrorKind::InvalidInput => Kind::Invalid,
            Error::NoHierarchy => Kind::Unavailable,
            _ => Kind::Internal,
        }
    }
}

/// A result of this module.
pub type Result<T> = std::result::Result<T, Error>;
