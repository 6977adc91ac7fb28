//! Kernel settings of the container's namespaces (`linux.sysctl`).

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use berth_kit::guard::{Guard, stands};
use berth_sys::Errno;
use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::error::Failure;
use crate::mount::kernel_tree;
use crate::path;

/// Opens `/proc/sys` of the container; `ENODEV` when an image or a volume has put something else there, which would
/// swallow what is written.
pub(crate) fn open(root: BorrowedFd<'_>) -> berth_sys::Result<OwnedFd> {
    let directory = path::open_plain(root, Path::new("/proc/sys"), OFlags::PATH | OFlags::DIRECTORY)?;
    if stands(Guard::ProcWrites) && !kernel_tree::is_proc(directory.as_fd())? {
        return Err(Errno::NODEV);
    }
    Ok(directory)
}

/// Writes each setting below `sys`, which is `/proc/sys` as opened before it was covered. Those of namespaces that the container
/// shares with the host were refused long before; what the kernel refuses here is told with the setting's name.
pub(crate) fn write(sys: BorrowedFd<'_>, settings: &HashMap<String, String>) -> Result<(), Failure> {
    for (name, value) in settings {
        let write = || {
            let path = path_of(name);
            let flags = OFlags::WRONLY | OFlags::CLOEXEC;
            let resolve = if stands(Guard::ProcWrites) {
                ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV
            } else {
                ResolveFlags::empty()
            };
            let file = rustix::fs::openat2(sys, path, flags, Mode::empty(), resolve)?;
            match rustix::io::write(&file, value.as_bytes())? {
                written if written == value.len() => Ok(()),
                _ => Err(Errno::INVAL),
            }
        };
        write().map_err(|errno| Failure::kernel("sysctl", format_args!("cannot set {name} to {value:?}"), errno))?;
    }
    Ok(())
}

/// A setting's file below `/proc/sys`. Dots separate, unless the name has slashes already (`net/ipv4/conf/eth0.1/x`).
fn path_of(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { name.replace('.', "/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_or_slashes_separate() {
        assert_eq!(path_of("net.ipv4.ip_forward"), "net/ipv4/ip_forward");
        assert_eq!(path_of("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
    }
}
