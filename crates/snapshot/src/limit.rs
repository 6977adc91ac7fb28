//! A size for a container's own layer: its upper directory on a file system of its own, in a file of that size.
//!
//! ```text
//! containers/<key>/disk ──ext4, over a loop device──► containers/<key>/volume/{upper,work}
//! ```
//!
//! Project quotas would need no file, but only file systems that were mounted for them have any. The file is sparse: it
//! takes what was written. Its mount stays until the snapshot is removed, and the next daemon finds it.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use berth_sys::mount::{attach_at, detach};

use crate::disk;
use crate::error::{Error, Result};
use crate::layer::make_root_dir;

/// Whether the snapshot in `home` has a file system of its own.
pub(crate) fn is_limited(home: &Path) -> bool {
    home.join("disk").exists()
}

/// Moves the empty upper and work directory of the snapshot in `home` to a file system for `bytes` bytes.
pub(crate) fn apply(home: &Path, bytes: u64) -> Result<()> {
    if bytes < disk::BYTES_MIN {
        return Err(Error::LimitTooSmall { bytes, least: disk::BYTES_MIN });
    }
    let (disk, volume) = (home.join("disk"), home.join("volume"));
    // A crash before the disk is there leaves a snapshot without a limit, which its creator removes.
    fs::create_dir(&volume).map_err(Error::io("create", &volume))?;
    disk::make(&disk, bytes)?;
    let written = written(home)?;
    let mode = fs::metadata(home.join("upper")).map_err(Error::io("read", home))?.permissions().mode() & 0o7777;
    for (name, mode) in [("work", 0o700), ("upper", mode)] {
        let old = home.join(name);
        make_root_dir(&written.join(name), mode)?;
        fs::remove_dir(&old).map_err(Error::io("remove", &old))?;
    }
    Ok(())
}

/// The directory that holds upper and work of the snapshot in `home`; a file system of its own is mounted.
pub(crate) fn written(home: &Path) -> Result<PathBuf> {
    let (disk, volume) = (home.join("disk"), home.join("volume"));
    if !disk.exists() {
        return Ok(home.to_owned());
    }
    if is_mount_point(&volume) {
        return Ok(volume);
    }
    let mount = disk::mount(&disk)?;
    attach_at(mount.as_fd(), &volume).map_err(Error::io("mount on", &volume))?;
    Ok(volume)
}

/// Unmounts what [`written`] mounted; whoever uses it keeps it until the end of that.
pub(crate) fn release(home: &Path) -> Result<()> {
    let volume = home.join("volume");
    if is_mount_point(&volume) {
        detach(&volume).map_err(Error::io("unmount", &volume))?;
    }
    Ok(())
}

/// Whether something is mounted on a directory.
pub(crate) fn is_mount_point(path: &Path) -> bool {
    let device = |path: &Path| fs::symlink_metadata(path).ok().map(|found| found.dev());
    device(path).is_some_and(|here| path.parent().and_then(device) != Some(here))
}
