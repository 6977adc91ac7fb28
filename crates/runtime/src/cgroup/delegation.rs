//! The part of the control groups that an engine without root may use: version 2, where the session's manager gave the
//! user a group of its own (systemd.resource-control(5), `Delegate=`).
//!
//! ```text
//!   user@1000.service/app.slice/berth.service     delegated: its directory and `cgroup.subtree_control` are the user's
//!     ├─ berth-engine                             the daemon and its supervisors: a group that hands controllers down
//!     │                                           may hold no processes itself
//!     └─ <id>                                     a container
//! ```

use rustix::fs::{Access, AtFlags, CWD, Mode, accessat, mkdirat};

use berth_sys::user_namespace;

use super::file;
use super::layout::{Controller, Layout};

/// Name of the group that the engine itself is in.
const ENGINE: &str = "berth-engine";

/// The delegated group, absolute from the hierarchy's root; `None` where nothing is delegated.
pub fn delegated() -> Option<String> {
    let layout = Layout::get().ok().filter(|layout| layout.is_v2())?;
    let text = file::read_text(CWD, "/proc/self/cgroup").ok()?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let group = own.strip_suffix(&format!("/{ENGINE}")).unwrap_or(own);
    let control = format!("{}/cgroup.subtree_control", group.trim_start_matches('/'));
    let control = control.trim_start_matches('/');
    accessat(layout.hierarchies[0].root(), control, Access::WRITE_OK, AtFlags::EACCESS).ok()?;
    Some(group.to_owned())
}

/// Moves the caller out of the way of the containers' groups. Whether anything is delegated.
pub fn settle() -> bool {
    let (Some(group), Ok(layout)) = (delegated(), Layout::get()) else { return false };
    let place = format!("{}/{ENGINE}", group.trim_matches('/'));
    let place = place.trim_start_matches('/');
    let root = layout.hierarchies[0].root();
    match mkdirat(root, place, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(_) => return false,
    }
    file::write_text(root, &format!("{place}/cgroup.procs"), "0").is_ok()
}

/// Whether containers can have control groups at all: always with the machine's root, else where they are delegated or
/// the hierarchy as a whole is the caller's.
pub fn are_usable() -> bool {
    if !user_namespace::is_nested() {
        return true;
    }
    let Ok(layout) = Layout::get() else { return false };
    let is_ours = |root| accessat(root, "cgroup.procs", Access::WRITE_OK, AtFlags::EACCESS).is_ok();
    delegated().is_some() || layout.hierarchies.iter().all(|hierarchy| is_ours(hierarchy.root()))
}

/// What a delegated group may hand down; `None` when the whole hierarchy may be used.
pub(super) fn controllers() -> Option<Vec<Controller>> {
    if !user_namespace::is_nested() {
        return None;
    }
    let (group, layout) = (delegated()?, Layout::get().ok()?);
    let name = format!("{}/cgroup.controllers", group.trim_matches('/'));
    let text = file::read_text(layout.hierarchies[0].root(), name.trim_start_matches('/')).unwrap_or_default();
    Some(text.split_whitespace().map(Controller::parse).collect())
}
