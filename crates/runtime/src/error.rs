//! What can go wrong with making or entering a container.

use std::path::{Path, PathBuf};

use berth_kit::{Kind, Kinded};
use berth_sys::Errno;
use serde::{Deserialize, Serialize};

/// The result of every act of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A step of the container's init that failed, as it reports it to the process that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The step's name, such as `mount`, `user` or `exec`.
    pub step: String,
    /// The kernel's error number, 0 when the kernel was not asked.
    pub errno: i32,
    /// One sentence for a person.
    pub message: String,
}

impl Failure {
    /// A refusal by the kernel: `what` tells the act and its object.
    pub(crate) fn kernel(step: &'static str, what: impl std::fmt::Display, errno: Errno) -> Self {
        let message = format!("{what}: {}", describe(errno));
        Self { step: step.to_owned(), errno: errno.raw_os_error(), message }
    }

    /// A refusal of the engine's own.
    pub(crate) fn own(step: &'static str, errno: Errno, message: String) -> Self {
        Self { step: step.to_owned(), errno: errno.raw_os_error(), message }
    }

    /// The exit code that Docker gives for this failure: 127 when the program does not exist, 126 when it cannot be
    /// executed, 125 when the engine failed.
    pub fn exit_code(&self) -> i32 {
        match (self.step.as_str(), self.errno) {
            ("exec", libc::ENOENT | libc::ENOTDIR) => 127,
            ("exec", libc::EACCES | libc::ENOEXEC | libc::EISDIR | libc::EPERM | libc::ELIBBAD) => 126,
            _ => 125,
        }
    }
}

/// The kernel's sentence for an error number, as Go programs print it.
pub(crate) fn describe(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

/// A failed act of the runtime.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A bundle's file cannot be read.
    #[error("cannot read {}", path.display())]
    ReadBundle { path: PathBuf, source: std::io::Error },
    /// A bundle's file cannot be written.
    #[error("cannot write {}", path.display())]
    WriteBundle { path: PathBuf, source: std::io::Error },
    /// A bundle's file is not what it should be.
    #[error("cannot understand {}", path.display())]
    ParseBundle { path: PathBuf, source: serde_json::Error },
    /// The specification asks for something impossible.
    #[error("invalid {field}: {reason}")]
    InvalidSpec { field: &'static str, reason: String },
    /// A namespace to join cannot be opened or entered.
    #[error("cannot join the namespace {}", path.display())]
    JoinNamespace { path: PathBuf, source: std::io::Error },
    /// A mount cannot be prepared.
    #[error("cannot {act} {}", path.display())]
    PrepareMount { act: &'static str, path: PathBuf, source: std::io::Error },
    /// The source of a bind mount is not there.
    #[error("bind source path does not exist: {}", path.display())]
    BindSourceMissing { path: PathBuf },
    /// A user or group that the container's files do not know, in Docker's words.
    #[error("{message}")]
    UnknownUser { message: String },
    /// A call about the new process failed.
    #[error("cannot {act}")]
    Process { act: &'static str, source: std::io::Error },
    /// A user without a range of ids of its own.
    #[error(
        "{file} has no range of ids for {user}: give it one with `usermod --add-subuids 100000-165535 --add-subgids \
         100000-165535 {user}`"
    )]
    NoSubordinateIds { user: String, file: &'static str },
    /// A program that maps ids cannot be run, or refuses.
    #[error("cannot map ids with {program} (Debian package uidmap): {message}")]
    MapIds { program: &'static str, message: String },
    /// A hook of the specification failed.
    #[error("{message}")]
    Hook { message: String },
    /// The container's init reports a failed step.
    #[error(transparent)]
    Init(Failure),
    /// The container's init ended without a word.
    #[error("the container's init ended during {step}")]
    InitGone { step: &'static str },
    /// Control groups.
    #[error(transparent)]
    Cgroup(#[from] crate::cgroup::Error),
    /// The system-call filter.
    #[error(transparent)]
    Seccomp(#[from] crate::seccomp::Error),
    /// The root file system.
    #[error(transparent)]
    Rootfs(#[from] berth_snapshot::Error),
}

impl Error {
    /// An [`Error::Process`] for use in `map_err`.
    pub(crate) fn process(act: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Error::Process { act, source: errno.into() }
    }

    /// An [`Error::PrepareMount`] for use in `map_err`.
    pub(crate) fn prepare(act: &'static str, path: &Path) -> impl FnOnce(Errno) -> Self {
        let path = path.to_owned();
        move |errno| Error::PrepareMount { act, path, source: errno.into() }
    }

    /// The failed step of the container's init, when that is what this is.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Error::Init(failure) => Some(failure),
            _ => None,
        }
    }
}

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Error::ParseBundle { .. }
            | Error::InvalidSpec { .. }
            | Error::UnknownUser { .. }
            | Error::BindSourceMissing { .. } => Kind::Invalid,
            Error::Init(failure) if failure.exit_code() != 125 => Kind::Invalid,
            Error::Cgroup(error) => error.kind(),
            Error::Seccomp(error) => error.kind(),
            Error::Rootfs(error) => error.kind(),
            _ => Kind::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_codes_by_error_number() {
        let code = |step, errno| Failure::kernel(step, "x", errno).exit_code();
        assert_eq!(
            (code("exec", Errno::NOENT), code("exec", Errno::ACCESS), code("mount", Errno::NOENT)),
            (127, 126, 125)
        );
        assert_eq!(Failure::kernel("exec", "x", Errno::NOENT).message, "x: no such file or directory");
    }
}
