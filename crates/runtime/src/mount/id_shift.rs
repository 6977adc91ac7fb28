//! User namespaces that exist only for their id maps: a mount that is to show other owners than the container's own map
//! would make (`mounts[].uidMappings`) names one.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;

use berth_sys::clone::{Clone3, Side, clone3};
use berth_sys::namespace::bit;
use berth_sys::{message, pidfd, process};

use crate::error::{Error, Result};
use crate::id_map::IdMaps;

/// A user namespace with these maps, in which nobody is.
pub(crate) fn namespace_of(maps: &IdMaps) -> Result<File> {
    let (here, there) = message::pair().map_err(Error::process("make a socket pair"))?;
    let request = Clone3 { flags: bit::USER, ..Clone3::default() };
    // SAFETY: whoever makes containers has one thread; the child waits and exits.
    let (pid, child) = match unsafe { clone3(&request) }.map_err(Error::process("make a user namespace"))? {
        Side::Child => {
            drop(here);
            // Nothing is ever sent: this is the end of file when the maker has what it wants.
            let _ = message::receive(there.as_fd(), &mut [0u8; 1]);
            process::exit_now(0)
        }
        Side::Parent { pid, pidfd } => (pid, pidfd),
    };
    drop(there);
    let path = PathBuf::from(format!("/proc/{pid}/ns/user"));
    // PATH: the host's own /proc.
    let opened = maps
        .write(pid)
        .and_then(|()| File::open(&path).map_err(|source| Error::JoinNamespace { path: path.clone(), source }));
    drop(here);
    pidfd::wait(child.as_fd()).map_err(Error::process("collect the holder of a user namespace"))?;
    opened
}
