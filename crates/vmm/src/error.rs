//! What can go wrong with a machine of the monitor's.

use std::path::{Path, PathBuf};

/// The result of every act of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed act.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or socket refused.
    #[error("cannot {act} {}", path.display())]
    File { act: &'static str, path: PathBuf, source: std::io::Error },
    /// A system call without a path refused.
    #[error("cannot {act}")]
    System { act: &'static str, source: std::io::Error },
    /// KVM refused.
    #[error("KVM does not {act}")]
    Kvm { act: &'static str, source: kvm_ioctls::Error },
    /// The configuration asks for what cannot be.
    #[error("configuration: {0}")]
    Config(String),
    /// The guest's memory cannot be what it should.
    #[error("guest memory: {0}")]
    Memory(String),
    /// The kernel or its initramfs cannot be started.
    #[error("kernel: {0}")]
    Boot(String),
    /// A snapshot does not fit.
    #[error("snapshot: {0}")]
    Snapshot(String),
    /// A virtual processor stopped for a reason that no guest should reach.
    #[error("virtual processor {index} stopped: {why}")]
    Processor { index: u32, why: String },
}

impl Error {
    pub(crate) fn file(act: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { act, path, source }
    }

    pub(crate) fn io(act: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { act, source }
    }

    pub(crate) fn errno(act: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::System { act, source: errno.into() }
    }

    pub(crate) fn kvm(act: &'static str) -> impl FnOnce(kvm_ioctls::Error) -> Self {
        move |source| Self::Kvm { act, source }
    }

    pub(crate) fn memory(error: impl std::fmt::Display) -> Self {
        Self::Memory(error.to_string())
    }

    /// The act that failed and everything below it, in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            text.push_str(&format!(": {error}"));
            source = error.source();
        }
        text
    }
}
