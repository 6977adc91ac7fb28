//! The overlay for kernels before 6.13, which do not take layers as descriptors of detached mounts.
//!
//! The id-mapped clones are attached beside the snapshot for a moment, the layers are named through `/proc/self/fd`
//! (so that any number fits into the one page of options that `mount(2)` takes), and the result is detached again.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use berth_sys::Errno;
use berth_sys::mount::{Change, Propagation, attach_at, clone_tree, detach, set_attributes};
use rustix::fs::CWD;
use rustix::mount::MountFlags;

use crate::error::{Error, Result};

/// Mounts `lower` (top first) and, when given, upper and work directory; `clones` are the detached mounts below which
/// they were opened. `home` is a directory in which mount points can be made.
pub(crate) fn overlay(
    lower: &[OwnedFd],
    written: Option<(&OwnedFd, &OwnedFd)>,
    clones: &[OwnedFd],
    home: &Path,
) -> Result<OwnedFd> {
    let mut points = Vec::new();
    for clone in clones {
        let point = Point::make(home)?;
        attach_at(clone.as_fd(), &point.0).map_err(Error::io("mount on", &point.0))?;
        points.push(point);
    }
    let merged = Point::make(home)?;
    let options = CString::new(options(lower, written)).map_err(|_| refused(home, Errno::INVAL))?;
    rustix::mount::mount("overlay", &merged.0, "overlay", MountFlags::empty(), Some(options.as_c_str()))
        .map_err(|errno| refused(home, errno))?;
    let mount = clone_tree(CWD, &merged.0, false).map_err(Error::io("clone the mount of", &merged.0))?;
    // What is mounted below a shared mount (systemd makes `/` one) is shared itself, and cannot become anybody's root.
    let change = Change { propagation: Some(Propagation::Private), ..Change::default() };
    set_attributes(mount.as_fd(), &change).map_err(Error::io("set the propagation of", &merged.0))?;
    Ok(mount)
}

fn options(lower: &[OwnedFd], written: Option<(&OwnedFd, &OwnedFd)>) -> String {
    let name = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let layers: Vec<String> = lower.iter().map(name).collect();
    let features = match berth_sys::user_namespace::is_nested() {
        false => "index=off,redirect_dir=off,metacopy=off",
        true => "index=off,userxattr",
    };
    let mut options = format!("lowerdir={},{features}", layers.join(":"));
    if let Some((upper, work)) = written {
        options.push_str(&format!(",upperdir={},workdir={}", name(upper), name(work)));
    }
    options
}

fn refused(home: &Path, errno: Errno) -> Error {
    Error::Mount { what: "overlay", path: home.to_owned(), messages: String::new(), source: errno.into() }
}

/// A mount point for a moment.
struct Point(PathBuf);

impl Point {
    fn make(home: &Path) -> Result<Self> {
        let path = home.join(format!("point-{}", berth_kit::id::generate()));
        fs::create_dir(&path).map_err(Error::io("create", &path))?;
        Ok(Self(path))
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        // When nothing was mounted there is nothing to detach; what stays is removed with the snapshot.
        let _ = detach(&self.0);
        let _ = fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_way_mounts_the_same() {
        let scratch = tempfile::tempdir().expect("tempdir");
        let open = |name: &str| {
            let path = scratch.path().join(name);
            fs::create_dir(&path).expect("mkdir");
            fs::write(path.join(name), name).expect("write");
            OwnedFd::from(fs::File::open(path).expect("open"))
        };
        let lower = [open("a"), open("b")];
        let (upper, work) = (open("upper"), open("work"));
        let mounted = overlay(&lower, Some((&upper, &work)), &[], scratch.path());
        let Ok(mount) = mounted else {
            eprintln!("skipped: no right to mount an overlay");
            return;
        };
        for name in ["a", "b", "upper"] {
            assert!(rustix::fs::statat(&mount, name, rustix::fs::AtFlags::empty()).is_ok(), "{name}");
        }
        assert_eq!(fs::read_dir(scratch.path()).expect("list").count(), 4, "no mount point is left");
    }
}
