//! What may stand at `/proc`, in it, at `/sys` and at `/dev`.
//!
//! Programs, and the engine itself, believe what they read in `/proc` and that what they write there reaches the kernel:
//! labels, settings, masks. So it has to be a proc file system, found without a link, and nothing of a user's may lie in
//! it but a few files of numbers that are commonly replaced (as LXCFS does).

use std::os::fd::BorrowedFd;
use std::path::Path;

use berth_kit::guard::{Guard, stands};
use berth_sys::{Errno, Result};
use rustix::fs::{AtFlags, statat};

/// `PROC_SUPER_MAGIC` of `linux/magic.h`.
const PROC: u64 = 0x9fa0;

/// The inode of the root of every proc file system (`PROC_ROOT_INO` of `linux/proc_fs.h`).
const PROC_ROOT: u64 = 1;

/// The answer to a mount that is not allowed; file systems do not give it.
pub(crate) const REFUSED: Errno = Errno::XDEV;

/// The same for a person.
pub(crate) const RULE: &str = ": only a proc file system may be mounted on /proc, and nothing inside of it";

/// Files of /proc that may be replaced.
const REPLACEABLE: &[&str] = &[
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "net/dev",
    "slabinfo",
    "stat",
    "swaps",
    "sys/kernel/ns_last_pid",
    "uptime",
];

/// Whether no link may lie on the way to this destination.
pub(crate) fn must_be_plain(destination: &Path) -> bool {
    let is = |place: &str| destination == Path::new(place);
    ((is("/proc") || is("/sys")) && stands(Guard::PlainProc)) || (is("/dev") && stands(Guard::PlainDev))
}

/// Refuses ([`REFUSED`]) a mount of `tree` on `target` that the rules above do not allow.
pub(crate) fn check(destination: &Path, target: BorrowedFd<'_>, tree: BorrowedFd<'_>) -> Result<()> {
    if !stands(Guard::PlainProc) {
        return Ok(());
    }
    let allowed = if destination == Path::new("/proc") {
        is_proc(tree)? && statat(tree, c"", AtFlags::EMPTY_PATH)?.st_ino == PROC_ROOT
    } else if is_proc(target)? {
        // Told by what is there, whichever links led to it; allowed only by the plain name.
        let name = destination.strip_prefix("/proc").ok();
        name.is_some_and(|name| REPLACEABLE.iter().any(|known| name == Path::new(known))) && !is_proc(tree)?
    } else {
        true
    };
    if allowed { Ok(()) } else { Err(REFUSED) }
}

/// Whether a descriptor belongs to a proc file system.
pub(crate) fn is_proc(fd: BorrowedFd<'_>) -> Result<bool> {
    Ok(rustix::fs::fstatfs(fd)?.f_type as u64 == PROC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn only_proc_on_proc_and_nothing_in_it() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (proc, plain) = (File::open("/proc").expect("open"), File::open(dir.path()).expect("open"));
        let stat = File::open("/proc/stat").expect("open");
        let allows = |destination: &str, target: &File, tree: &File| {
            check(Path::new(destination), target.as_fd(), tree.as_fd()) == Ok(())
        };
        assert!(
            allows("/proc", &plain, &proc) && allows("/proc/stat", &stat, &plain) && allows("/data", &plain, &plain)
        );
        assert!(!allows("/proc", &plain, &plain), "a folder is no /proc");
        assert!(!allows("/proc", &plain, &stat), "nor is a part of one");
        assert!(!allows("/proc/sys", &stat, &plain) && !allows("/data", &stat, &plain), "by whichever name");
        assert!(!allows("/proc/stat", &stat, &stat), "another file of /proc in its place");
    }
}
