//! `mode=non-blocking`: the log is written by a process of its own, so that a slow disk or log service never holds up
//! the container.
//!
//! ```text
//! supervisor ─ queue of max-buffer-size ─ pipe (frames of berth-log) ─► berth supervise --log-writer=<bundle> ─► driver
//! ```
//!
//! A thread would do, but a process with threads must not clone. What does not fit in the queue is lost, newest first,
//! as with Docker. The writer ends when the pipe does, and has then kept everything.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

use berth_log::{Entry, frame};
use rustix::io::Errno;

use super::stdio::set_nonblocking;
use crate::{Error, Result, Settings};

/// How long the end of a supervisor waits for its log writer, and in what steps.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
const CLOSE_PAUSE: Duration = Duration::from_millis(2);

/// Before the bundle in the argument that makes a supervisor a log writer.
const ARGUMENT: &str = "--log-writer=";

/// The bundle whose log is to be written, when the argument says so.
pub(super) fn writes_for(argument: &Path) -> Option<PathBuf> {
    let bundle = argument.as_os_str().as_bytes().strip_prefix(ARGUMENT.as_bytes())?;
    Some(PathBuf::from(OsStr::from_bytes(bundle)))
}

/// The supervisor's side.
pub(super) struct Offload {
    pipe: Option<OwnedFd>,
    writer: Option<Child>,
    queue: VecDeque<u8>,
    limit_bytes: usize,
    encoded: Vec<u8>,
}

impl Offload {
    /// Starts the writer of a bundle's log.
    pub fn start(bundle: &Path, limit_bytes: usize) -> Result<Self> {
        let program = Path::new("/proc/self/exe");
        let fail = |source| Error::Spawn { program: program.to_owned(), source };
        let mut command = Command::new(program);
        let mut argument = OsString::from(ARGUMENT);
        argument.push(bundle);
        command.arg0("berth").arg("supervise").arg(argument).env_clear();
        let mut writer =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(fail)?;
        let pipe = writer.stdin.take().map(OwnedFd::from);
        let mut offload = Self::new(pipe, limit_bytes)?;
        offload.writer = Some(writer);
        Ok(offload)
    }

    fn new(pipe: Option<OwnedFd>, limit_bytes: usize) -> Result<Self> {
        if let Some(pipe) = &pipe {
            set_nonblocking(pipe.as_fd()).map_err(Error::system("make the log writer's pipe non-blocking"))?;
        }
        Ok(Self { pipe, writer: None, queue: VecDeque::new(), limit_bytes, encoded: Vec::new() })
    }

    /// Queues an entry; `false` when it was lost.
    pub fn write(&mut self, entry: &Entry<'_>) -> bool {
        let len = entry.bytes.len() + frame::OVERHEAD;
        if !self.queue.is_empty() && self.queue.len() + len > self.limit_bytes {
            self.flush();
        }
        if self.pipe.is_none() || (!self.queue.is_empty() && self.queue.len() + len > self.limit_bytes) {
            return false;
        }
        self.encoded.clear();
        frame::encode(&mut self.encoded, entry);
        self.queue.extend(&self.encoded);
        true
    }

    /// Hands over what the pipe takes; `false` when the writer is gone.
    pub fn flush(&mut self) -> bool {
        while let (Some(pipe), false) = (&self.pipe, self.queue.is_empty()) {
            match rustix::io::write(pipe, self.queue.as_slices().0) {
                Ok(written) => drop(self.queue.drain(..written)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                Err(_) => {
                    (self.pipe, self.queue) = (None, VecDeque::new());
                    return false;
                }
            }
        }
        true
    }

    /// The pipe, while something is queued.
    pub fn backlog(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().filter(|_| !self.queue.is_empty()).map(AsFd::as_fd)
    }

    /// Lets the writer finish, and waits for it a limited time; it goes on by itself then.
    pub fn close(&mut self) {
        self.flush();
        self.pipe = None;
        let Some(mut writer) = self.writer.take() else { return };
        let began = Instant::now();
        while matches!(writer.try_wait(), Ok(None)) && began.elapsed() < CLOSE_LIMIT {
            std::thread::sleep(CLOSE_PAUSE);
        }
    }
}

/// The writer's process: entries from standard input into the bundle's log.
pub(super) fn main(bundle: &Path) -> ExitCode {
    let Ok(settings) = Settings::read(bundle) else { return ExitCode::FAILURE };
    let Ok(mut driver) = berth_log::open(&settings.log, &settings.log_path, &settings.tags) else {
        return ExitCode::FAILURE;
    };
    let mut input = io::stdin().lock();
    let (mut buffer, mut filled) = (vec![0u8; 2 * frame::FRAME_MAX], 0);
    loop {
        let len = match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        filled += len;
        let mut used = 0;
        while let frame::Decoded::Frame(entry, size) = frame::decode(&buffer[used..filled]) {
            // A failed write loses entries and no more; there is nobody to tell.
            let _ = driver.write(&entry);
            used += size;
        }
        let _ = driver.flush();
        while driver.backlog().is_some() {
            std::thread::sleep(std::time::Duration::from_millis(5));
            let _ = driver.flush();
        }
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }
    match driver.close() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use berth_log::Stream;

    use super::*;

    #[test]
    fn a_writer_that_reads_nothing_costs_entries_not_time() {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let mut offload = Offload::new(Some(writer), 100_000).unwrap();
        let bytes = [b'x'; 1000];
        let at = berth_kit::time::Timestamp::UNIX_EPOCH;
        let entry = Entry { stream: Stream::Stdout, at, partial: false, bytes: &bytes };
        let kept = (0..1000).filter(|_| offload.write(&entry)).count();
        assert!((100..400).contains(&kept), "queue and pipe keep {kept}");
        assert!(offload.backlog().is_some());
        drop(reader);
        assert!(!offload.flush(), "a writer that is gone is noticed");
        assert!(offload.backlog().is_none());
    }
}
