//! The engine's own program as a read-only descriptor.
//!
//! A container that reaches `/proc/<pid>/exe` of an engine process must find a file that cannot be opened for
//! writing. A detached, read-only clone of the mount that holds the program gives exactly that, without copying it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};

use crate::Result;
use crate::mount::{Change, attr, clone_tree, set_attributes};

/// A descriptor (`O_PATH`, close-on-exec) of the running program on a read-only mount of its own: the target for
/// [`crate::exec::exec_descriptor`]. Needs `CAP_SYS_ADMIN`.
pub fn exe_readonly() -> Result<OwnedFd> {
    let program = rustix::fs::openat(CWD, "/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let mount = clone_tree(program.as_fd(), c"", false)?;
    set_attributes(mount.as_fd(), &Change { set: attr::READ_ONLY, ..Change::default() })?;
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn the_clone_cannot_be_opened_for_writing() {
        let Ok(program) = exe_readonly() else {
            eprintln!("skipped: no right to clone mounts");
            return;
        };
        let path = format!("/proc/self/fd/{}", program.as_raw_fd());
        let failure = std::fs::OpenOptions::new().write(true).open(path).expect_err("write");
        assert!([libc::EROFS, libc::ETXTBSY].contains(&failure.raw_os_error().unwrap_or(0)), "{failure}");
    }
}
