//! Whole directory trees: their size, and laying one over another.

use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use berth_sys::user_namespace::overlay_attribute;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use crate::error::{Error, Result};

/// Bytes in the regular files below `root`; each inode counts once. Files that vanish meanwhile count nothing.
pub(crate) fn bytes(root: &Path) -> Result<u64> {
    let mut seen = HashSet::new();
    let mut total = 0;
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && directory != root => continue,
            Err(error) => return Err(Error::io("list", &directory)(error)),
        };
        for entry in entries.flatten() {
            let Ok(attributes) = entry.metadata() else { continue };
            if attributes.is_dir() {
                pending.push(entry.path());
            } else if attributes.is_file() && (attributes.nlink() == 1 || seen.insert(attributes.ino())) {
                total += attributes.size();
            }
        }
    }
    Ok(total)
}

/// Lays the overlay layer `from` over the tree `to`: whiteouts remove, opaque directories replace, the rest is copied
/// with owner, mode, times, extended attributes and hard links.
pub(crate) fn apply(from: &Path, to: &Path) -> Result<()> {
    apply_directory(from, to, &mut HashMap::new())
}

fn apply_directory(from: &Path, to: &Path, links: &mut HashMap<u64, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(from).map_err(Error::io("list", from))? {
        let entry = entry.map_err(Error::io("list", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let attributes = entry.metadata().map_err(Error::io("read", &source))?;
        if attributes.file_type().is_char_device() && attributes.rdev() == 0 {
            remove(&target)?;
        } else if attributes.is_dir() {
            if !is_directory(&target) || is_opaque(&source) {
                remove(&target)?;
                fs::create_dir(&target).map_err(Error::io("create", &target))?;
            }
            apply_directory(&source, &target, links)?;
        } else {
            remove(&target)?;
            copy_entry(&source, &target, &attributes, links)?;
        }
    }
    let attributes = fs::metadata(from).map_err(Error::io("read", from))?;
    copy_attributes(from, to, &attributes)
}

/// Copies anything but a directory.
fn copy_entry(from: &Path, to: &Path, attributes: &Metadata, links: &mut HashMap<u64, PathBuf>) -> Result<()> {
    if attributes.nlink() > 1 {
        if let Some(first) = links.get(&attributes.ino()) {
            return fs::hard_link(first, to).map_err(Error::io("link", to));
        }
        links.insert(attributes.ino(), to.to_owned());
    }
    let kind = attributes.file_type();
    if kind.is_file() {
        fs::copy(from, to).map_err(Error::io("copy", from))?;
    } else if kind.is_symlink() {
        let target = fs::read_link(from).map_err(Error::io("read", from))?;
        std::os::unix::fs::symlink(target, to).map_err(Error::io("link", to))?;
    } else {
        let mode = Mode::from_raw_mode(attributes.mode());
        let kind = FileType::from_raw_mode(attributes.mode());
        rustix::fs::mknodat(CWD, to, kind, mode, attributes.rdev()).map_err(Error::io("create", to))?;
    }
    copy_attributes(from, to, attributes)
}

/// Owner first (it clears set-id bits), then mode, extended attributes, and times last.
fn copy_attributes(from: &Path, to: &Path, attributes: &Metadata) -> Result<()> {
    let (uid, gid) = (Some(attributes.uid()), Some(attributes.gid()));
    std::os::unix::fs::lchown(to, uid, gid).map_err(Error::io("set the owner of", to))?;
    if !attributes.is_symlink() {
        let mode = fs::Permissions::from_mode(attributes.mode() & 0o7777);
        fs::set_permissions(to, mode).map_err(Error::io("set the mode of", to))?;
    }
    copy_extended(from, to)?;
    let times = Timestamps {
        last_access: Timespec { tv_sec: attributes.atime(), tv_nsec: attributes.atime_nsec() },
        last_modification: Timespec { tv_sec: attributes.mtime(), tv_nsec: attributes.mtime_nsec() },
    };
    rustix::fs::utimensat(CWD, to, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(Error::io("set the times of", to))
}

/// Copies extended attributes, except overlay's own.
fn copy_extended(from: &Path, to: &Path) -> Result<()> {
    let mut names = [0u8; 65536];
    let length = match rustix::fs::llistxattr(from, &mut names) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(Error::io("list the attributes of", from)(errno)),
    };
    let mut value = vec![0u8; 65536];
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.") {
            continue;
        }
        let size = rustix::fs::lgetxattr(from, name, &mut value).map_err(Error::io("read the attributes of", from))?;
        rustix::fs::lsetxattr(to, name, &value[..size], XattrFlags::empty())
            .map_err(Error::io("set the attributes of", to))?;
    }
    Ok(())
}

fn is_directory(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|attributes| attributes.is_dir())
}

fn is_opaque(path: &Path) -> bool {
    let mut value = [0u8; 4];
    rustix::fs::lgetxattr(path, overlay_attribute("opaque"), &mut value).is_ok_and(|size| &value[..size] == b"y")
}

/// Removes whatever is at `path`, if anything is.
fn remove(path: &Path) -> Result<()> {
    let removed = if is_directory(path) { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}
