//! The lowest layer of every root file system: the mount points that an image may lack.
//!
//! An image need not bring `/proc`, `/dev` or `/etc/hosts`, yet the runtime mounts over them. Were they made in the
//! container's own layer, each start would write there, and they would show up as the container's changes. As the
//! lowest layer they cost nothing, are hidden by whatever the image brings, and are no change of anybody's.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::error::{Error, Result};

/// Directories, in the order of making.
const DIRECTORIES: &[&str] = &["dev", "dev/pts", "dev/shm", "dev/mqueue", "etc", "proc", "sys"];

/// Empty files. `/.dockerenv` is how many programs recognise that they run in a container.
const FILES: &[&str] = &[".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// Makes the layer at `path` if it is not there, in one step.
pub(crate) fn ensure(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let draft = path.with_extension("draft");
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(Error::io("remove", &draft))?;
    }
    crate::layer::make_root_dir(&draft, 0o755)?;
    for name in DIRECTORIES {
        crate::layer::make_root_dir(&draft.join(name), 0o755)?;
    }
    for name in FILES {
        let file = draft.join(name);
        let mode = if name.starts_with("etc") { 0o644 } else { 0o755 };
        fs::write(&file, []).map_err(Error::io("create", &file))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).map_err(Error::io("set the mode of", &file))?;
    }
    let table = draft.join("etc/mtab");
    symlink("/proc/mounts", &table).map_err(Error::io("create", &table))?;
    fs::rename(&draft, path).map_err(Error::io("create", path))
}
