//! From a container's output to its log.

use std::os::fd::{BorrowedFd, OwnedFd};

use berth_kit::time::Timestamp;
use berth_log::{Entry, LogDriver, Splitter, Stream};

use super::offload::Offload;

/// How long the end of a container waits for a log service that takes nothing, in milliseconds.
const FINISH_LIMIT_MS: u32 = 2000;

/// Where entries go.
pub(super) enum Sink {
    /// Written here and now.
    Direct(Box<dyn LogDriver>),
    /// Queued for a writer process (`mode=non-blocking`).
    Offload(Offload),
}

/// The log of a container. A failing log never fails the container; failures are counted.
pub(super) struct Output {
    sink: Sink,
    stdout: Splitter,
    stderr: Splitter,
    last: Timestamp,
    failures: u64,
}

impl Output {
    pub fn new(sink: Sink) -> Self {
        Self {
            sink,
            stdout: Splitter::new(Stream::Stdout),
            stderr: Splitter::new(Stream::Stderr),
            last: Timestamp::UNIX_EPOCH,
            failures: 0,
        }
    }

    /// Logs what was read from one stream, and keeps it.
    pub fn push(&mut self, stream: Stream, bytes: &[u8]) {
        // Times grow even when the clock is set back, so that readers can go on from a time.
        let step = jiff::SignedDuration::from_nanos(1);
        let at = Timestamp::now().max(self.last.checked_add(step).unwrap_or(self.last));
        let Self { sink, stdout, stderr, last, failures } = self;
        let splitter = if stream == Stream::Stderr { stderr } else { stdout };
        splitter.push(bytes, at, &mut |entry| {
            *last = entry.at.max(*last);
            *failures += u64::from(!sink.write(entry));
        });
        self.flush();
    }

    /// Keeps what was accepted, as far as the log service takes it.
    pub fn flush(&mut self) {
        self.failures += u64::from(!self.sink.flush());
    }

    /// The container has to wait until the log service takes more.
    pub fn backlog(&self) -> Option<BorrowedFd<'_>> {
        match &self.sink {
            Sink::Direct(driver) => driver.backlog(),
            Sink::Offload(_) => None,
        }
    }

    /// A descriptor to wait for (writable), then to flush: a copy, as drivers connect anew.
    pub fn waits_for(&self) -> Option<OwnedFd> {
        let descriptor = match &self.sink {
            Sink::Direct(driver) => driver.backlog(),
            Sink::Offload(offload) => offload.backlog(),
        };
        descriptor.and_then(|descriptor| descriptor.try_clone_to_owned().ok())
    }

    /// How often the log could not be written.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Logs unfinished lines, waits, a limited time, for the log service, and closes the log.
    pub fn finish(&mut self) {
        let Self { sink, stdout, stderr, failures, .. } = self;
        for splitter in [stdout, stderr] {
            splitter.finish(&mut |entry| *failures += u64::from(!sink.write(entry)));
        }
        self.flush();
        for _ in 0..FINISH_LIMIT_MS / 10 {
            if self.waits_for().is_none() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
            self.flush();
        }
        match &mut self.sink {
            Sink::Direct(driver) => self.failures += u64::from(driver.close().is_err()),
            Sink::Offload(offload) => offload.close(),
        }
    }
}

impl Sink {
    fn write(&mut self, entry: &Entry<'_>) -> bool {
        match self {
            Self::Direct(driver) => driver.write(entry).is_ok(),
            Self::Offload(offload) => offload.write(entry),
        }
    }

    fn flush(&mut self) -> bool {
        match self {
            Self::Direct(driver) => driver.flush().is_ok(),
            Self::Offload(offload) => offload.flush(),
        }
    }
}
