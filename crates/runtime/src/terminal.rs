//! The container's terminal: a pair from its own devpts.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use berth_kit::guard::{Guard, stands};
use berth_sys::mount::{attach, clone_tree};
use berth_sys::pty::{self, Pair};
use berth_sys::{Errno, Result};
use rustix::fs::{FileType, OFlags};

use crate::error::Failure;
use crate::mount::kernel_tree;
use crate::path;

/// `DEVPTS_SUPER_MAGIC` of `linux/magic.h`.
const DEVPTS: u64 = 0x1cd1;

/// Allocates a pair at `/dev/pts` of the container, which must be a real devpts: a program of the container could have
/// put anything else there.
pub(crate) fn allocate(root: BorrowedFd<'_>, size: Option<(u16, u16)>) -> std::result::Result<Pair, Failure> {
    let open = || -> Result<Pair> {
        let directory = path::open(root, Path::new("/dev/pts"), OFlags::RDONLY | OFlags::DIRECTORY)?;
        if rustix::fs::fstatfs(&directory)?.f_type as u64 != DEVPTS {
            return Err(Errno::NODEV);
        }
        let pair = pty::open_at(directory.as_fd(), "ptmx")?;
        if let Some((rows, columns)) = size {
            pty::resize(pair.master.as_fd(), rows, columns)?;
        }
        Ok(pair)
    };
    open().map_err(|errno| Failure::kernel("terminal", "cannot allocate a terminal in the container", errno))
}

/// Shows the terminal as `/dev/console`. What is shown is the terminal's descriptor, and where is a plain file: a
/// directory that others can write to may be swapped under every name meanwhile.
pub(crate) fn show_as_console(root: BorrowedFd<'_>, pair: &Pair) -> std::result::Result<(), Failure> {
    const CONSOLE: &str = "/dev/console";
    let show = || {
        if !stands(Guard::ConsoleDescriptor) {
            return show_by_name(root, pair);
        }
        let tree = clone_tree(pair.slave.as_fd(), c"", false)?;
        let target = match path::open_plain(root, Path::new(CONSOLE), OFlags::PATH) {
            Err(Errno::NOENT) => path::open_or_make(root, Path::new(CONSOLE), path::Make::File)?,
            other => other?,
        };
        if FileType::from_raw_mode(rustix::fs::fstat(&target)?.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
        kernel_tree::check(Path::new(CONSOLE), target.as_fd(), tree.as_fd())?;
        attach(tree.as_fd(), target.as_fd())
    };
    show().map_err(|errno| Failure::kernel("terminal", "cannot mount the terminal on /dev/console", errno))
}

/// The guard's absence: both ends by their names.
fn show_by_name(root: BorrowedFd<'_>, pair: &Pair) -> Result<()> {
    let name = rustix::pty::ptsname(&pair.master, Vec::new())?;
    let source = path::open(root, Path::new(&*name.to_string_lossy()), OFlags::PATH)?;
    let target = path::open_or_make(root, Path::new("/dev/console"), path::Make::File)?;
    attach(clone_tree(source.as_fd(), c"", false)?.as_fd(), target.as_fd())
}

/// Gives the terminal to the container's user; its group stays the one that devpts was mounted with.
pub(crate) fn give_to(slave: &OwnedFd, uid: u32) -> std::result::Result<(), Failure> {
    rustix::fs::fchown(slave, Some(rustix::fs::Uid::from_raw(uid)), None)
        .map_err(|errno| Failure::kernel("terminal", "cannot give the terminal to the user", errno))
}

/// Starts a session, with the terminal (when there is one) as its controlling terminal.
pub(crate) fn lead_session(slave: Option<&OwnedFd>) -> std::result::Result<(), Failure> {
    let lead = || {
        berth_sys::process::new_session()?;
        slave.map_or(Ok(()), |slave| pty::make_controlling(slave.as_fd()))
    };
    lead().map_err(|errno| Failure::kernel("terminal", "cannot start a session", errno))
}
