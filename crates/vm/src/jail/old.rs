//! Kernels before 6.3, whose tmpfs cannot show files under other ids, and `/run` is a tmpfs: what a jail has there
//! belongs to it on the host, too.

use std::path::Path;

use serde_json::{Value, json};

use crate::{Error, Result};

/// Super block magic of tmpfs (linux/magic.h).
const TMPFS: i64 = 0x0102_1994;
/// The first kernel whose tmpfs has id-mapped mounts.
const FIRST: (u32, u32) = (6, 3);

/// Whether mounts of what lies at `path` may be id-mapped, as far as it is known: other file systems are tried.
pub(super) fn maps_ids(path: &Path) -> bool {
    let on_tmpfs = rustix::fs::statfs(path).is_ok_and(|facts| facts.f_type == TMPFS);
    let release = rustix::system::uname();
    !on_tmpfs || version(&release.release().to_string_lossy()).is_none_or(|version| version >= FIRST)
}

/// Gives a file or directory of the engine to the jail's root, where no id map does it.
pub(super) fn give(path: &Path, id: u32) -> Result<()> {
    if maps_ids(path) {
        return Ok(());
    }
    std::os::unix::fs::chown(path, Some(id), Some(id)).map_err(Error::file("change the owner of", path))
}

/// Has each bind mount ask for the id map itself, where the jail's `root` can have none.
pub(super) fn ask_for_maps(root: &Path, mounts: &mut [Value]) {
    if maps_ids(root) {
        return;
    }
    for mount in mounts.iter_mut().filter(|mount| mount["type"] == "bind") {
        if let Some(options) = mount["options"].as_array_mut().filter(|options| !options.contains(&json!("noidmap"))) {
            options.push(json!("idmap"));
        }
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|sign: char| !sign.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        assert_eq!(version("6.1.0-48-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("6.12-rc1"), Some((6, 12)));
        assert_eq!(version("unknown"), None);
        assert!(version("5.15.0") < Some(FIRST) && version("6.18.5") > Some(FIRST));
    }

    #[test]
    fn a_disk_is_tried() {
        assert!(maps_ids(Path::new("/proc")));
        assert!(give(Path::new("/nosuch"), 0).is_ok(), "what is not on a tmpfs stays as it is");
    }
}
