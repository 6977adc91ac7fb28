//! What can go wrong with a virtual machine.

use std::path::{Path, PathBuf};

use berth_kit::{Kind, Kinded};

/// The result of every act of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed act.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory refused.
    #[error("cannot {act} {}", path.display())]
    File { act: &'static str, path: PathBuf, source: std::io::Error },
    /// A system call without a path refused.
    #[error("cannot {act}")]
    System { act: &'static str, source: std::io::Error },
    /// Foreign bytes are not what they are said to be.
    #[error("{what}: {reason}")]
    Malformed { what: String, reason: String },
    /// A program of the system ended badly.
    #[error("{program} failed: {said}")]
    Program { program: String, said: String },
    /// There is no kernel for guests yet.
    #[error("there is no kernel for virtual machines: run `berth vm kernel` (or `berth vm kernel --path FILE`)")]
    NoKernel,
    /// No monitor can run a guest here.
    #[error("no virtual machine can run here: {0}")]
    NoBackend(String),
    /// The guest did not do what it should in time.
    #[error("the guest {0}")]
    Guest(String),
    /// A record of this crate cannot be read or written.
    #[error("cannot understand {}", path.display())]
    Record { path: PathBuf, source: serde_json::Error },
}

impl Error {
    /// A file's refusal, for `map_err`.
    pub(crate) fn file(act: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { act, path, source }
    }

    /// A kernel's refusal without a path, for `map_err`.
    pub(crate) fn system(act: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::System { act, source: errno.into() }
    }

    pub(crate) fn malformed(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Malformed { what: what.into(), reason: reason.into() }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::NoKernel | Self::NoBackend(_) => Kind::Conflict,
            Self::Malformed { .. } => Kind::Invalid,
            _ => Kind::Internal,
        }
    }
}
