//! One process of the container and its streams.
//!
//! ```text
//! running ─ended readable─► draining ─all outputs at their end, or quiet for 50 ms─► finished
//! ```
//!
//! A process that left a daemon behind may never let its pipes end: after its own end only what comes without a pause,
//! for a second at most, is waited for.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use berth_log::Stream;
use rustix::{
    event::epoll::{self, EventData, EventFlags},
    io::{Errno, Result},
};

use super::{
    stdio::{Ends, set_nonblocking},
    watched::{Epoll, Token, Watched},
};
use crate::isolation::{Child, Ended};

/// No output for so long after the end of a process: there will be none.
const QUIET: Duration = Duration::from_millis(50);
/// Output is waited for so long after the end of a process.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// A terminal that nobody has open is looked at again after so long.
const TERMINAL_REST: Duration = Duration::from_millis(100);

/// A process's standard input.
#[derive(Default)]
pub(super) struct Input {
    /// The pipe; a terminal is written through [`Task::stdout`].
    pub pipe: Option<Watched>,
    /// What the process did not take yet. Clients are not read while it is not empty.
    pub pending: Vec<u8>,
    /// Ends when `pending` is empty.
    pub ending: bool,
}

/// When the output of an ended process is given up.
#[derive(Debug, Clone, Copy)]
struct Drain {
    quiet_at: Instant,
    stop_at: Instant,
}

/// See the module.
pub(super) struct Task {
    pub key: u32,
    /// The exec's identifier; `None` for the container's main process.
    pub exec: Option<String>,
    pub child: Child,
    pub tty: bool,
    /// Standard output, or the terminal's own end.
    pub stdout: Option<Watched>,
    pub stderr: Option<Watched>,
    pub input: Input,
    /// Its output is not read for now.
    pub paused: bool,
    ended: Option<Ended>,
    drain: Option<Drain>,
    /// The terminal is left alone until then.
    resting_until: Option<Instant>,
}

impl Task {
    /// Watches a process that was just started.
    pub fn new(epoll: &Epoll, key: u32, exec: Option<String>, mut child: Child, ends: Ends) -> Result<Self> {
        let terminal = child.terminal.take();
        let tty = terminal.is_some();
        if let Some(terminal) = &terminal {
            set_nonblocking(terminal.as_fd())?;
        }
        epoll::add(&**epoll, &child.ended, EventData::new_u64(Token::Ended(key).pack()), EventFlags::IN)?;
        let watch = |descriptor: OwnedFd, token: Token| Watched::new(epoll, descriptor, token);
        let mut task = Self {
            key,
            exec,
            child,
            tty,
            stdout: terminal.or(ends.stdout).map(|descriptor| watch(descriptor, Token::Stdout(key))),
            stderr: ends.stderr.map(|descriptor| watch(descriptor, Token::Stderr(key))),
            input: Input::default(),
            paused: false,
            ended: None,
            drain: None,
            resting_until: None,
        };
        task.input.pipe = ends.stdin.map(|descriptor| watch(descriptor, Token::Stdin(key)));
        Ok(task)
    }

    /// How the process ended, if it has.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Notes the end of the process.
    pub fn set_ended(&mut self, epoll: &Epoll, ended: Ended) {
        let _ = epoll::delete(&**epoll, &self.child.ended);
        let now = Instant::now();
        self.ended = Some(ended);
        self.drain = Some(Drain { quiet_at: now + QUIET, stop_at: now + DRAIN_LIMIT });
        self.input = Input::default();
        self.resting_until = None;
    }

    /// When to look again at the task.
    pub fn deadline(&self) -> Option<Instant> {
        self.drain.map(|drain| drain.quiet_at.min(drain.stop_at)).or(self.resting_until)
    }

    /// Whether the process has ended and its output was read.
    pub fn is_finished(&self, now: Instant) -> bool {
        self.drain.is_some_and(|drain| {
            (self.stdout.is_none() && self.stderr.is_none()) || now >= drain.quiet_at || now >= drain.stop_at
        })
    }

    /// The output's descriptor.
    pub fn output(&self, stream: Stream) -> Option<&Watched> {
        if stream == Stream::Stderr { self.stderr.as_ref() } else { self.stdout.as_ref() }
    }

    /// Output came.
    pub fn note_output(&mut self) {
        if let Some(drain) = &mut self.drain {
            drain.quiet_at = Instant::now() + QUIET;
        }
    }

    /// An output is at its end. A terminal's end of a running process means only that nobody has it open just now;
    /// closing it would hang up on the process.
    pub fn close_output(&mut self, stream: Stream) {
        if self.tty && self.ended.is_none() {
            self.resting_until = Some(Instant::now() + TERMINAL_REST);
        } else if stream == Stream::Stderr {
            self.stderr = None;
        } else {
            self.stdout = None;
        }
    }

    /// Whether clients' standard input is read: nothing waits for the process. Where nobody will ever take it, it is
    /// read as well, so that the end of the client is noticed.
    pub fn takes_input(&self) -> bool {
        self.input.pending.is_empty() || self.refuses_input()
    }

    fn refuses_input(&self) -> bool {
        self.input.ending || (!self.tty && self.input.pipe.is_none())
    }

    /// Writes `bytes` to the standard input; keeps what is not taken.
    pub fn write_input(&mut self, bytes: &[u8]) {
        if self.refuses_input() {
            return;
        }
        if self.input.pending.is_empty() {
            let taken = self.write_some(bytes);
            self.input.pending.extend_from_slice(&bytes[taken.min(bytes.len())..]);
        } else {
            self.input.pending.extend_from_slice(bytes);
        }
    }

    /// Writes what waits.
    pub fn flush_input(&mut self) {
        let pending = std::mem::take(&mut self.input.pending);
        let taken = self.write_some(&pending).min(pending.len());
        if taken < pending.len() {
            self.input.pending = pending;
            self.input.pending.drain(..taken);
        }
    }

    /// Ends the standard input once it has taken everything; a terminal's goes on.
    pub fn end_input(&mut self) {
        if !self.tty {
            self.input.ending = true;
        }
    }

    /// How much was taken; everything when nobody will read it.
    fn write_some(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let target = if self.tty { self.stdout.as_ref() } else { self.input.pipe.as_ref() };
            let Some(target) = target else { return bytes.len() };
            match rustix::io::write(target, &bytes[taken..]) {
                Ok(written) => taken += written,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.input.pipe = None;
                    return bytes.len();
                }
            }
        }
        taken
    }

    /// Watches each descriptor for what is wanted of it now.
    pub fn settle(&mut self) -> Result<()> {
        if self.input.ending && self.input.pending.is_empty() {
            self.input.pipe = None;
        }
        self.resting_until = self.resting_until.filter(|until| *until > Instant::now());
        let read = !self.paused && self.resting_until.is_none();
        let waiting = !self.input.pending.is_empty();
        if let (true, Some(drain)) = (self.paused, &mut self.drain) {
            let now = Instant::now();
            *drain = Drain { quiet_at: now + QUIET, stop_at: now + DRAIN_LIMIT };
        }
        if let Some(pipe) = &mut self.input.pipe {
            pipe.set(false, waiting)?;
        }
        if let Some(stdout) = &mut self.stdout {
            stdout.set(read, self.tty && waiting)?;
        }
        if let Some(stderr) = &mut self.stderr {
            stderr.set(read, false)?;
        }
        Ok(())
    }
}
