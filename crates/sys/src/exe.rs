//! The engine's own program as a descriptor that nobody can write through.
//!
//! A container that reaches `/proc/<pid>/exe` of an engine process must find a file that cannot be opened for writing,
//! whatever rights it has. A read-only clone of the mount that holds the program gives that without copying it, once
//! the clone is let go: a mount that is in no namespace has no owner, so its attributes cannot be changed any more
//! (`mount_setattr(2)` answers `EINVAL`), not even by a container with `CAP_SYS_ADMIN` on the host.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use berth_kit::guard::{Guard, stands};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};

use crate::Result;
use crate::exec::{Vectors, exec_descriptor};
use crate::mount::{Change, attr, clone_tree, set_attributes};

/// Where the running program is found.
const PROGRAM: &str = "/proc/self/exe";

/// A descriptor (`O_PATH`, close-on-exec) of the running program on a read-only mount of its own: the target for
/// [`crate::exec::exec_descriptor`]. Needs `CAP_SYS_ADMIN`.
pub fn exe_readonly() -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let program = rustix::fs::openat(CWD, PROGRAM, flags, Mode::empty())?;
    if !stands(Guard::SealedProgram) {
        return Ok(program);
    }
    let mount = clone_tree(program.as_fd(), c"", false)?;
    set_attributes(mount.as_fd(), &Change { set: attr::READ_ONLY, ..Change::default() })?;
    // A second descriptor of the file keeps the mount; the end of the first takes it out of its namespace.
    rustix::fs::openat(CWD, format!("/proc/self/fd/{}", mount.as_raw_fd()), flags, Mode::empty())
}

/// A copy of the running program in memory that cannot be changed: for callers without the right to clone mounts.
fn exe_copied() -> Result<OwnedFd> {
    let program = rustix::fs::openat(CWD, PROGRAM, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let copy = rustix::fs::memfd_create("berth", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    while rustix::fs::sendfile(&copy, &program, None, 1 << 30)? > 0 {}
    rustix::fs::fcntl_add_seals(&copy, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(copy)
}

/// Executes the running program again, with the same arguments and environment, from where it cannot be overwritten;
/// returns when it runs from there already. For programs that are started from the host's file and lend their process
/// to a container.
pub fn run_sealed() -> Result<()> {
    if !stands(Guard::SealedProgram) || is_sealed()? {
        return Ok(());
    }
    let program = exe_readonly().or_else(|_| exe_copied())?;
    let strings = |list: Vec<Vec<u8>>| list.into_iter().filter_map(|text| CString::new(text).ok()).collect::<Vec<_>>();
    let arguments = strings(std::env::args_os().map(OsStringExt::into_vec).collect());
    let variable =
        |(name, value): (std::ffi::OsString, std::ffi::OsString)| [name.into_vec(), value.into_vec()].join(&b'=');
    let environment = strings(std::env::vars_os().map(variable).collect());
    match exec_descriptor(program.as_fd(), &Vectors::new(&arguments, &environment))? {}
}

/// Whether the running program lies on a read-only mount or in sealed memory.
fn is_sealed() -> Result<bool> {
    if rustix::fs::statvfs(PROGRAM)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    let program = rustix::fs::openat(CWD, PROGRAM, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    // Files on disk have no seals, and say so with EINVAL.
    Ok(rustix::fs::fcntl_get_seals(&program).is_ok_and(|seals| seals.contains(SealFlags::WRITE)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Errno;

    #[test]
    fn the_view_cannot_be_opened_for_writing_nor_be_made_writable() {
        let Ok(program) = exe_readonly() else {
            eprintln!("skipped: no right to clone mounts");
            return;
        };
        let path = format!("/proc/self/fd/{}", program.as_raw_fd());
        let refused = || {
            let failure = std::fs::OpenOptions::new().write(true).open(&path).expect_err("write");
            assert!([libc::EROFS, libc::ETXTBSY].contains(&failure.raw_os_error().unwrap_or(0)), "{failure}");
        };
        refused();
        let change = Change { clear: attr::READ_ONLY, ..Change::default() };
        assert_eq!(set_attributes(program.as_fd(), &change), Err(Errno::INVAL));
        refused();
        assert!(rustix::fs::statvfs(&path).expect("statvfs").f_flag.contains(StatVfsMountFlags::RDONLY));
    }

    #[test]
    fn a_copy_is_whole_and_sealed() {
        let copy = exe_copied().expect("copy");
        let size = |fd: &OwnedFd| rustix::fs::fstat(fd).expect("stat").st_size;
        let own = std::fs::metadata(PROGRAM).expect("stat").len();
        assert_eq!(size(&copy), i64::try_from(own).expect("size"));
        assert_eq!(rustix::io::write(&copy, b"x"), Err(Errno::PERM));
    }
}
