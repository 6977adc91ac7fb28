//! Being told that a log has grown.

use std::{os::fd::OwnedFd, path::Path};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use crate::{Error, Result};

/// A non-blocking descriptor that becomes readable when files beside `path` are written, made or renamed.
///
/// What is read from it means nothing (inotify(7) events); read until `EAGAIN`, then ask the reader again.
///
/// # Errors
/// [`Error::Read`] when the directory cannot be watched.
pub fn watch(path: &Path) -> Result<OwnedFd> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fail = |errno: rustix::io::Errno| Error::Read { path: dir.to_owned(), source: errno.into() };
    let descriptor = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(fail)?;
    let events = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE;
    inotify::add_watch(&descriptor, dir, events).map_err(fail)?;
    Ok(descriptor)
}
