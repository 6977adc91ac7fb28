//! The socket's path, short enough for `sun_path` (108 bytes, unix(7)) wherever the bundle lies.

use std::{
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{Mode, OFlags};

pub(crate) const SOCKET: &str = "supervisor.sock";

/// A path to the socket through a descriptor of its directory; good while this lives.
pub(crate) struct SocketPath {
    directory: OwnedFd,
}

impl SocketPath {
    pub fn in_bundle(bundle: &Path) -> rustix::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { directory: rustix::fs::open(bundle, flags, Mode::empty())? })
    }

    pub fn get(&self) -> PathBuf {
        format!("/proc/self/fd/{}/{SOCKET}", self.directory.as_raw_fd()).into()
    }
}
