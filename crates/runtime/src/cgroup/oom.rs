//! Learning that the kernel killed a process of a container for want of memory.

use std::io;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::fs::{Mode, OFlags, openat};

use super::error::{Error, Result};
use super::layout::{Controller, Hierarchy};
use super::{Cgroup, file};

impl Cgroup {
    /// How many processes the OOM killer has killed in it so far (kernel 4.13 on v1); 0 without a memory controller.
    pub fn oom_kills(&self) -> Result<u64> {
        let Some(hierarchy) = self.layout.find(Controller::Memory) else { return Ok(0) };
        let name = if self.layout.is_v2() { "memory.events" } else { "memory.oom_control" };
        let text = self.read(hierarchy, name)?.unwrap_or_default();
        Ok(file::parse_pairs(&text).find(|(key, _)| *key == "oom_kill").map_or(0, |(_, count)| count))
    }

    /// A non-blocking descriptor that becomes readable when [`Cgroup::oom_kills`] may have grown, or when the cgroup
    /// is removed: an eventfd on v1 (8 bytes to read), an inotify descriptor on v2 (drain it). Level-triggered.
    /// `None` without a memory controller.
    pub fn oom_watch(&self) -> Result<Option<OwnedFd>> {
        let Some(hierarchy) = self.layout.find(Controller::Memory) else { return Ok(None) };
        let watch = if self.layout.is_v2() { self.watch_events(hierarchy) } else { self.register_event(hierarchy) };
        watch.map(Some).map_err(|source| Error::Watch { path: self.display(), source })
    }

    /// v2: the kernel marks `memory.events` as modified at each event.
    fn watch_events(&self, hierarchy: &Hierarchy) -> io::Result<OwnedFd> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let path = hierarchy.mount.join(self.control("memory.events"));
        inotify::add_watch(&fd, &path, WatchFlags::MODIFY | WatchFlags::DELETE_SELF)?;
        Ok(fd)
    }

    /// v1: `<eventfd> <fd of memory.oom_control>` into `cgroup.event_control`; the latter may then be closed.
    fn register_event(&self, hierarchy: &Hierarchy) -> io::Result<OwnedFd> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let control = openat(hierarchy.root(), self.control("memory.oom_control"), flags, Mode::empty())?;
        let line = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
        file::write_text(hierarchy.root(), &self.control("cgroup.event_control"), &line)?;
        Ok(event)
    }
}
