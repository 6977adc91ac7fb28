//! A file system of a fixed size in a sparse file: what is written to it has a limit, and takes no more room on the
//! host than was written.
//!
//! ```text
//! <path> ──ext4, over a loop device──► a detached mount
//! ```

mod ext4;

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use berth_sys::loopback;
use berth_sys::mount::NewFilesystem;

use crate::error::{Error, Result};

/// The least size in bytes.
pub const BYTES_MIN: u64 = 1 << 20;

/// Makes a file system with room for `bytes` bytes in the new file `path`, which appears whole or not at all.
///
/// # Errors
/// [`Error::LimitTooSmall`] below [`BYTES_MIN`], or what the file system around it refuses.
pub fn make(path: &Path, bytes: u64) -> Result<()> {
    if bytes < BYTES_MIN {
        return Err(Error::LimitTooSmall { bytes, least: BYTES_MIN });
    }
    let draft = path.with_extension("draft");
    let mut file = File::create(&draft).map_err(Error::io("create", &draft))?;
    ext4::format(&mut file, bytes).map_err(Error::io("format", &draft))?;
    file.sync_data().map_err(Error::io("sync", &draft))?;
    drop(file);
    fs::rename(&draft, path).map_err(Error::io("create", path))
}

/// A detached mount of the file system in `path`.
///
/// # Errors
/// [`Error::Mount`] with the kernel's own words, or why there is no loop device.
pub fn mount(path: &Path) -> Result<OwnedFd> {
    // One that somebody still has mounted must be the same device: two of one file would spoil it.
    let device = match loopback::find(path) {
        Some(device) => device,
        None => {
            let file = File::options().read(true).write(true).open(path).map_err(Error::io("open", path))?;
            loopback::attach(file.as_fd(), false).map_err(Error::io("make a loop device of", path))?
        }
    };
    let refused = |errno: berth_sys::Errno, messages| Error::Mount {
        what: "ext4",
        path: path.to_owned(),
        messages,
        source: errno.into(),
    };
    let new = NewFilesystem::open("ext4").map_err(|errno| refused(errno, String::new()))?;
    let mount = new.text("source", &device.path).and_then(|()| new.mount(0));
    mount.map_err(|errno| refused(errno, new.messages()))
}
