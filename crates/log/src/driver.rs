//! The seam between a container's output and the place where it is kept.

use std::os::fd::BorrowedFd;

use jiff::Timestamp;

use crate::{Result, Stream};

/// One line, or one piece of a line longer than [`crate::LINE_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Standard output or standard error.
    pub stream: Stream,
    /// When the first byte of the line was read, UTC; grows strictly within one container.
    pub at: Timestamp,
    /// The line goes on in the next entry of this stream, or ended without a newline.
    pub partial: bool,
    /// The bytes, without the newline; any bytes at all, at most [`crate::LINE_MAX`] of them.
    pub bytes: &'a [u8],
}

/// A place for log entries.
///
/// # Vocabulary
///
/// An *entry* is a line or a piece of one. An entry is *accepted* once [`write`](Self::write) returned, and *kept* once
/// [`flush`](Self::flush) returned: a kept entry survives `kill -9` of the writer, and a [`Reader`](crate::Reader)
/// sees it. Power cuts may lose entries; no driver calls `fsync`.
///
/// # Life cycle
///
/// ```text
/// open ─► write* ─► flush ─► write* ─► flush ─► … ─► close
///                     │
///                     └─ backlog() is some: wait until it is writable, flush again
/// ```
///
/// The owner writes all entries of one `read(2)`, then flushes: that makes one system call of many lines. The driver
/// may flush earlier to stay within its bounded buffer.
///
/// # Failure
///
/// An error loses the entries that were accepted and not kept, and nothing else: the driver stays usable, later entries
/// are kept when the cause has gone (a full disk, a restarted syslog daemon), and no torn entry stays in a file. The
/// owner counts errors and goes on; a container never stops because its log cannot be written.
///
/// # Blocking
///
/// Files are written at once. A driver over a socket never waits for its peer without bound: what the peer does not
/// take stays in the driver, and [`backlog`](Self::backlog) tells the owner to stop reading the container for now.
///
/// # Example
///
/// ```no_run
/// # use berth_log::{Entry, LogConfig, ContainerTags, Stream};
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("c-json.log");
/// let mut log = berth_log::open(&LogConfig::new("json-file"), &path, &ContainerTags::default())?;
/// let at = jiff::Timestamp::now();
/// log.write(&Entry { stream: Stream::Stdout, at, partial: false, bytes: b"hello" })?;
/// log.flush()?;
/// # Ok::<(), berth_log::Error>(())
/// ```
///
/// Every implementation passes [`contract::run`](crate::contract::run).
pub trait LogDriver {
    /// Docker's name of the driver: `json-file`.
    fn name(&self) -> &'static str;

    /// Accepts one entry.
    ///
    /// # Errors
    /// [`crate::Error`] when entries accepted before were lost on the way; this one is accepted in any case.
    fn write(&mut self, entry: &Entry<'_>) -> Result<()>;

    /// Keeps every accepted entry, or as much as the peer takes without waiting.
    ///
    /// # Errors
    /// [`crate::Error`] when accepted entries were lost.
    fn flush(&mut self) -> Result<()>;

    /// The descriptor to wait for (writable) before more is written; `None` when everything accepted is kept.
    fn backlog(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Flushes and gives up background work, which the next one to open the log takes up again; called once, at the
    /// end. Nothing touches the log's files after it returned.
    ///
    /// # Errors
    /// As [`flush`](Self::flush).
    fn close(&mut self) -> Result<()> {
        self.flush()
    }
}
