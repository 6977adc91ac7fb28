//! Removing a container's directories, with the sub-cgroups that it made itself.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use super::Cgroup;
use super::error::{Error, Result};
use super::layout::Hierarchy;
use super::process::MAX_DEPTH;

/// A cgroup stays busy for a moment after its last process died; this is how long that is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

impl Cgroup {
    /// Removes it from all hierarchies; already gone is as wanted. Tries while it is busy, at most two seconds.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = Duration::from_micros(200);
        let mut left: Vec<&Hierarchy> = self.layout.hierarchies.iter().collect();
        loop {
            let mut last = None;
            left.retain(|hierarchy| match remove_tree(hierarchy, &self.relative, MAX_DEPTH) {
                Ok(()) => false,
                Err(e) => {
                    last = Some((hierarchy.display(&self.relative), e));
                    true
                }
            });
            let Some((path, errno)) = last else { return Ok(()) };
            if errno != Errno::BUSY || Instant::now() >= deadline {
                return Err(Error::Remove { path, source: errno.into() });
            }
            sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}

/// Removes `relative`, its sub-cgroups first if it has any.
fn remove_tree(hierarchy: &Hierarchy, relative: &str, depth: usize) -> std::result::Result<(), Errno> {
    match unlinkat(hierarchy.root(), relative, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::BUSY | Errno::NOTEMPTY) if depth > 0 => {}
        Err(e) => return Err(e),
    }
    let children = children(hierarchy, relative);
    if children.is_empty() {
        return Err(Errno::BUSY);
    }
    for child in children {
        remove_tree(hierarchy, &child, depth - 1)?;
    }
    match unlinkat(hierarchy.root(), relative, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e),
    }
}

/// The sub-cgroups directly in `relative`; none if it is gone.
pub(super) fn children(hierarchy: &Hierarchy, relative: &str) -> Vec<String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(directory) = openat(hierarchy.root(), relative, flags, Mode::empty()) else { return Vec::new() };
    let Ok(entries) = Dir::read_from(&directory) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type() == FileType::Directory)
        .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned))
        .filter(|name| name != "." && name != "..")
        .map(|name| format!("{relative}/{name}"))
        .collect()
}
