//! The container's view of its control groups at `/sys/fs/cgroup`.
//!
//! Version 2 is one mount, made inside the cgroup namespace; where that is the host's, a clone of the host's mount. Of version 1 the maker sends the container's directory in
//! each hierarchy; they are put side by side into a small tmpfs, as on any host.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use berth_kit::guard::{Guard, stands};
use berth_sys::Errno;
use berth_sys::mount::{self, Change, attr, clone_tree, set_attributes};
use rustix::fs::Mode;

use super::option::Options;
use super::{attach, filesystem};
use crate::cgroup::Cgroup;
use crate::error::{Error, Failure, Result};
use crate::plan::{Kind, Planned};

/// What the maker sends: names below `/sys/fs/cgroup` and, in the same order, detached clones. With version 2 empty, or
/// one tree without a name, which is the whole.
#[derive(Debug, Default)]
pub(crate) struct Directories {
    pub(crate) names: Vec<String>,
    pub(crate) trees: Vec<OwnedFd>,
}

impl Directories {
    /// Clones of the container's directories in the hierarchies of version 1, or of version 2's hierarchy for a
    /// container without a cgroup namespace of its own.
    pub(crate) fn of(cgroup: &Cgroup, has_namespace: bool) -> Result<Self> {
        let mut found = Self::default();
        let whole = if has_namespace { None } else { cgroup.hierarchy_v2()? };
        let whole = whole.map(|directory| (String::new(), directory));
        for (name, directory) in cgroup.directories_v1()?.into_iter().chain(whole) {
            let tree = clone_tree(directory.as_fd(), c"", false).map_err(Error::process("clone a cgroup mount"))?;
            found.names.push(name);
            found.trees.push(tree);
        }
        Ok(found)
    }
}

/// Attaches the view wherever the specification wants one.
pub(crate) fn all(
    root: BorrowedFd<'_>,
    mounts: &[Planned],
    directories: &Directories,
) -> std::result::Result<(), Failure> {
    for mount in mounts.iter().filter(|mount| mount.kind == Kind::Control) {
        let fail = |(errno, said): (Errno, String)| {
            let what = format!("cannot mount cgroups on {}{said}", mount.destination.display());
            Failure::kernel("mount", what, errno)
        };
        let plain = |errno| fail((errno, String::new()));
        let set = if stands(Guard::CgroupReadOnly) { mount.options.set } else { mount.options.set & !attr::READ_ONLY };
        if let ([whole], [tree]) = (directories.names.as_slice(), directories.trees.as_slice())
            && whole.is_empty()
        {
            set_attributes(tree.as_fd(), &Change { set, ..Change::default() }).map_err(plain)?;
            attach::one(root, &mount.destination, tree).map_err(plain)?;
            continue;
        }
        let view = if directories.names.is_empty() {
            let options = Options { set, ..Options::default() };
            filesystem::make("cgroup2", "cgroup", &options).map_err(fail)?
        } else {
            let data = vec![(String::from("mode"), Some(String::from("755")))];
            filesystem::make("tmpfs", "cgroup", &Options { data, ..Options::default() }).map_err(fail)?
        };
        attach::one(root, &mount.destination, &view).map_err(plain)?;
        if !directories.names.is_empty() {
            side_by_side(view.as_fd(), directories, set).map_err(plain)?;
        }
    }
    Ok(())
}

fn side_by_side(view: BorrowedFd<'_>, directories: &Directories, set: u64) -> berth_sys::Result<()> {
    for (name, tree) in directories.names.iter().zip(&directories.trees) {
        rustix::fs::mkdirat(view, name, Mode::from_raw_mode(0o755))?;
        let target = crate::path::open_plain(view, Path::new(name), rustix::fs::OFlags::PATH)?;
        set_attributes(tree.as_fd(), &Change { set, ..Change::default() })?;
        mount::attach(tree.as_fd(), target.as_fd())?;
        // Controllers that share a hierarchy are found under each one's name.
        for alias in name.split(',').filter(|alias| alias != name) {
            rustix::fs::symlinkat(name, view, alias)?;
        }
    }
    set_attributes(view, &Change { set: set | attr::READ_ONLY, ..Change::default() })
}
