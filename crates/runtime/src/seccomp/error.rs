//! What can be wrong with a profile or a filter.

use berth_kit::{Kind, Kinded};

/// A profile or filter that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no table of system calls for this machine.
    #[error("seccomp filters are not supported on this machine's architecture")]
    Architecture,
    /// More than the kernel takes.
    #[error("the seccomp profile compiles to {instructions} instructions, and the kernel takes 4096: shorten it")]
    TooLong {
        /// How many there were.
        instructions: usize,
    },
    /// System calls have six arguments.
    #[error("the seccomp rule for {name} compares argument {index}: system calls have arguments 0 to 5")]
    ArgumentIndex {
        /// The system call.
        name: String,
        /// The index given.
        index: usize,
    },
    /// Not JSON, or not a profile. The caller says whose.
    #[error(transparent)]
    Decode(#[from] serde_json::Error),
    /// Dockerd's text.
    #[error(
        "both 'architectures' and 'archMap' are specified in the seccomp profile, \
         use either 'architectures' or 'archMap'"
    )]
    ArchitecturesTwice,
    /// Dockerd's text.
    #[error("both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'")]
    NameTwice,
    /// Rules without a default for what they do not name.
    #[error("the seccomp profile has no 'defaultAction'")]
    NoDefault,
    /// A `minKernel` that is no version.
    #[error("failed to parse kernel version {version:?}")]
    KernelVersion {
        /// As written.
        version: String,
    },
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::Architecture => Kind::Unavailable,
            _ => Kind::Invalid,
        }
    }
}
