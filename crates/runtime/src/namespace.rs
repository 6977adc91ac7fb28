//! Which namespaces a container gets, and a new process inside them.
//!
//! New ones come with `clone3`. Existing ones (another container's) are entered by the maker itself for the length of
//! the clone, as it has the rights to do so and the child, in a user namespace of its own, would not. When the user
//! namespace is an existing one, too, a short-lived go-between enters everything and makes init as its own sibling.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use berth_sys::clone::{Clone3, Side, clone3};
use berth_sys::namespace::{bit, join, unshare};
use berth_sys::{Errno, message, user_namespace};
use oci_spec::runtime::{LinuxNamespace, LinuxTimeOffset};

use crate::error::{Error, Result};

/// Kinds that only take effect for the children of who enters them, and their files below `/proc/self/ns`.
const OWN: &[(u64, &str)] =
    &[(bit::PID, "pid"), (bit::NETWORK, "net"), (bit::IPC, "ipc"), (bit::UTS, "uts"), (bit::TIME, "time")];

/// The namespaces of one container. What is neither new nor joined is the host's.
#[derive(Debug, Default)]
pub(crate) struct Namespaces {
    /// `CLONE_NEW*` bits of those that are made.
    pub(crate) new: u64,
    /// Those that exist already.
    joined: Vec<(u64, PathBuf)>,
}

impl Namespaces {
    /// Reads the specification's list. A container without a mount namespace of its own is refused.
    pub(crate) fn of(list: &[LinuxNamespace]) -> Result<Self> {
        let mut found = Self::default();
        for namespace in list {
            let kind = namespace.typ() as u32 as u64;
            match namespace.path() {
                Some(path) => found.joined.push((kind, path.clone())),
                None => found.new |= kind,
            }
        }
        if found.new & bit::MOUNT == 0 {
            let reason = String::from("a container needs a new mount namespace");
            return Err(Error::InvalidSpec { field: "linux.namespaces", reason });
        }
        Ok(found)
    }

    /// Bits of all that are not the host's.
    pub(crate) fn own(&self) -> u64 {
        self.joined.iter().fold(self.new, |bits, (kind, _)| bits | kind)
    }

    /// Whether ids inside differ from the host's.
    pub(crate) fn has_user(&self) -> bool {
        self.own() & bit::USER != 0
    }

    fn joins_user(&self) -> bool {
        self.joined.iter().any(|(kind, _)| *kind == bit::USER)
    }

    /// Whether the container's root has rights over its namespace of this kind.
    pub(crate) fn rules(&self, kind: u64) -> bool {
        !self.has_user() || self.new & kind != 0 || (self.joins_user() && self.own() & kind != 0)
    }

    fn open_joined(&self) -> Result<Vec<(u64, OwnedFd)>> {
        let open = |(kind, path): &(u64, PathBuf)| {
            let file = File::open(path).map_err(|source| Error::JoinNamespace { path: path.clone(), source })?;
            Ok((*kind, OwnedFd::from(file)))
        };
        self.joined.iter().map(open).collect()
    }

    /// Makes a process in these namespaces. The control-group namespace is left for the child, which must be in its
    /// groups first.
    ///
    /// # Safety
    /// As for [`clone3`].
    pub(crate) unsafe fn spawn(
        &self,
        cgroup: Option<BorrowedFd<'_>>,
        offsets: Option<&HashMap<String, LinuxTimeOffset>>,
    ) -> Result<Side> {
        let joined = self.open_joined()?;
        let flags = self.new & !(bit::CGROUP | bit::TIME);
        let goes = !joined.is_empty() || self.new & bit::TIME != 0;
        if self.joins_user() || (goes && user_namespace::is_nested()) {
            let request = Clone3 { flags, cgroup, sibling: true };
            let time = (self.new & bit::TIME != 0).then_some(offsets);
            // SAFETY: the caller vouches for a single thread.
            return unsafe { spawn_between(&request, &joined, time) };
        }
        let request = Clone3 { flags, cgroup, sibling: false };
        let mut visit = Visit::default();
        for (kind, namespace) in &joined {
            visit.enter(*kind, namespace.as_fd())?;
        }
        if self.new & bit::TIME != 0 {
            visit.make_time(offsets)?;
        }
        // SAFETY: the caller vouches for a single thread.
        let side = unsafe { clone3(&request) };
        if matches!(side, Ok(Side::Child)) {
            // The child stays where it is.
            std::mem::forget(visit);
        }
        side.map_err(Error::process("clone the container's init"))
    }
}

/// The maker's stay in namespaces of others; it goes home when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Visit {
    home: Vec<(u64, OwnedFd)>,
}

impl Visit {
    /// Enters a namespace (given as its file, or as a pidfd) after noting the way back.
    pub(crate) fn enter(&mut self, kind: u64, namespace: BorrowedFd<'_>) -> Result<()> {
        self.note(kind)?;
        join(namespace, kind).map_err(Error::process("join a namespace"))
    }

    fn note(&mut self, kind: u64) -> Result<()> {
        let Some((_, name)) = OWN.iter().find(|(own, _)| *own == kind) else {
            let reason = String::from("only pid, net, ipc, uts, time and user namespaces can be joined by path");
            return Err(Error::InvalidSpec { field: "linux.namespaces", reason });
        };
        let path = Path::new("/proc/self/ns").join(name);
        let home = File::open(&path).map_err(|source| Error::JoinNamespace { path, source })?;
        self.home.push((kind, home.into()));
        Ok(())
    }

    /// Makes a time namespace for the next child; its clocks can be set only until somebody is in it.
    fn make_time(&mut self, offsets: Option<&HashMap<String, LinuxTimeOffset>>) -> Result<()> {
        self.note(bit::TIME)?;
        unshare(bit::TIME).map_err(Error::process("make a time namespace"))?;
        set_clocks(offsets)
            .map_err(|error| Error::InvalidSpec { field: "linux.timeOffsets", reason: error.to_string() })
    }
}

/// Writes the offsets of the clocks in the time namespace that the caller's next child will be in.
fn set_clocks(offsets: Option<&HashMap<String, LinuxTimeOffset>>) -> std::io::Result<()> {
    let Some(offsets) = offsets else { return Ok(()) };
    let mut text = String::new();
    for (clock, offset) in offsets {
        let (seconds, nanoseconds) = (offset.secs().unwrap_or(0), offset.nanosecs().unwrap_or(0));
        text.push_str(&format!("{clock} {seconds} {nanoseconds}\n"));
    }
    std::fs::write("/proc/self/timens_offsets", text)
}

impl Drop for Visit {
    fn drop(&mut self) {
        for (kind, home) in self.home.drain(..) {
            if join(home.as_fd(), kind).is_err() {
                // A supervisor that is lost in a container's namespace must not go on working for the host.
                berth_sys::process::exit_now(125);
            }
        }
    }
}

/// Offsets of the clocks of a new time namespace, when there is to be one.
type Clocks<'a> = Option<Option<&'a HashMap<String, LinuxTimeOffset>>>;

/// A go-between enters every namespace (each given as its file, or as a pidfd), makes init as its sibling, and sends its
/// pidfd home. For those who may not come back: from a user namespace, or to namespaces of the machine without its root.
///
/// # Safety
/// As for [`clone3`].
pub(crate) unsafe fn spawn_between(
    request: &Clone3<'_>,
    joined: &[(u64, OwnedFd)],
    clocks: Clocks<'_>,
) -> Result<Side> {
    let (here, there) = message::pair().map_err(Error::process("make a socket pair"))?;
    // SAFETY: the caller vouches for a single thread.
    let between = match unsafe { clone3(&Clone3::default()) }.map_err(Error::process("clone"))? {
        // SAFETY: still a single thread; every way out of the go-between is an exit.
        Side::Child => match unsafe { enter_and_clone(request, joined, clocks) } {
            Ok(Side::Child) => return Ok(Side::Child),
            Ok(Side::Parent { pid, pidfd }) => {
                let sent = message::send(there.as_fd(), &pid.to_le_bytes(), &[pidfd.as_fd()]);
                berth_sys::process::exit_now(sent.is_err().into())
            }
            Err(errno) => {
                // Whether or not it arrives, the maker sees the end of this process.
                let _ = message::send(there.as_fd(), &[errno.raw_os_error() as u8], &[]);
                berth_sys::process::exit_now(1)
            }
        },
        Side::Parent { pidfd, .. } => pidfd,
    };
    drop(there);
    let mut word = [0u8; 4];
    let received = message::receive(here.as_fd(), &mut word).map_err(Error::process("hear from the go-between"))?;
    berth_sys::pidfd::wait(between.as_fd()).map_err(Error::process("wait for the go-between"))?;
    match received.descriptors.into_iter().next() {
        // The number was the go-between's view; the descriptor tells ours.
        Some(pidfd) => {
            let pid = berth_sys::pidfd::pid(pidfd.as_fd()).map_err(Error::process("identify the container's init"))?;
            Ok(Side::Parent { pid, pidfd })
        }
        None => {
            Err(Error::process("join the container's namespaces")(Errno::from_raw_os_error(i32::from(word[0].max(1)))))
        }
    }
}

/// # Safety
/// As for [`clone3`].
unsafe fn enter_and_clone(
    request: &Clone3<'_>,
    joined: &[(u64, OwnedFd)],
    clocks: Clocks<'_>,
) -> berth_sys::Result<Side> {
    if let Some(offsets) = clocks {
        unshare(bit::TIME)?;
        set_clocks(offsets).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))?;
    }
    // The user namespace last: the others may belong to the host, and the rights over them end there.
    for (kind, namespace) in joined.iter().filter(|(kind, _)| *kind != bit::USER) {
        join(namespace.as_fd(), *kind)?;
    }
    for (_, namespace) in joined.iter().filter(|(kind, _)| *kind == bit::USER) {
        join(namespace.as_fd(), bit::USER)?;
    }
    // SAFETY: the caller vouches for a single thread.
    unsafe { clone3(request) }
}
