//! One connected client.

use std::{
    io::IoSlice,
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use berth_log::Stream;
use berth_spec::stream::header;
use rustix::{
    io::{Errno, Result},
    net::Shutdown,
};
use serde::Serialize;

use super::watched::{Epoll, Token, Watched};
use crate::protocol;

/// Bytes kept for a client of the container; the container waits while a client is that far behind.
pub(super) const CONTAINER_LIMIT_BYTES: usize = 1 << 20;
/// Bytes kept for the client of an exec, before the exec waits.
pub(super) const EXEC_LIMIT_BYTES: usize = 64 << 10;
/// A client of the container that is behind and takes nothing for so long is dropped: one frozen client must not
/// freeze the container.
const STALL_LIMIT: Duration = Duration::from_secs(5);

/// What a connection serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Requests and replies.
    Control,
    /// Events.
    Watcher,
    /// The streams of a task.
    Stream(Attachment),
}

/// Which streams of which task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attachment {
    pub task: u32,
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Docker's frames; a terminal's bytes are raw.
    pub framed: bool,
    /// The task is an exec, which waits for its client without limit.
    pub exec: bool,
}

/// See the module.
pub(super) struct Connection {
    pub key: u32,
    pub role: Role,
    /// Received and not yet understood.
    pub inbox: Vec<u8>,
    socket: Watched,
    outbox: Vec<u8>,
    sent: usize,
    /// The client's direction is at its end.
    input_ended: bool,
    /// Closed as soon as the outbox is empty.
    closing: bool,
    gone: bool,
    progress_at: Instant,
}

impl Connection {
    /// A new client; `socket` must be non-blocking.
    pub fn new(epoll: &Epoll, key: u32, socket: OwnedFd) -> Self {
        Self {
            key,
            role: Role::Control,
            inbox: Vec::new(),
            socket: Watched::new(epoll, socket, Token::Client(key)),
            outbox: Vec::new(),
            sent: 0,
            input_ended: false,
            closing: false,
            gone: false,
            progress_at: Instant::now(),
        }
    }

    /// Its attachment, where it is a stream.
    pub fn attachment(&self) -> Option<Attachment> {
        match self.role {
            Role::Stream(attachment) => Some(attachment),
            _ => None,
        }
    }

    /// Receives; `Ok(0)` once at the end of the client's direction.
    pub fn receive(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match rustix::io::read(&self.socket, buffer) {
            Ok(0) => {
                self.input_ended = true;
                Ok(0)
            }
            Err(errno) if errno != Errno::AGAIN && errno != Errno::INTR => {
                self.gone = true;
                Err(errno)
            }
            other => other,
        }
    }

    /// Both directions are at their end: nobody is there any more.
    pub fn lose(&mut self) {
        self.gone = true;
    }

    /// Sends a message of the protocol.
    pub fn reply(&mut self, message: &impl Serialize) {
        let mut frame = Vec::new();
        protocol::encode(&mut frame, message);
        self.send(&[], &frame);
    }

    /// Sends output of a task.
    pub fn send_output(&mut self, stream: Stream, bytes: &[u8]) {
        match self.attachment() {
            Some(attachment) if attachment.framed => self.send(&header(stream, bytes.len()), bytes),
            _ => self.send(&[], bytes),
        }
    }

    fn send(&mut self, head: &[u8], body: &[u8]) {
        if self.gone {
            return;
        }
        let mut written = 0;
        if self.outbox.is_empty() {
            self.progress_at = Instant::now();
            written = match rustix::io::writev(&self.socket, &[IoSlice::new(head), IoSlice::new(body)]) {
                Ok(written) => written,
                Err(Errno::AGAIN | Errno::INTR) => 0,
                Err(_) => {
                    self.gone = true;
                    return;
                }
            };
        }
        self.outbox.extend_from_slice(&head[written.min(head.len())..]);
        self.outbox.extend_from_slice(&body[written.saturating_sub(head.len())..]);
    }

    /// Sends what waits.
    pub fn flush(&mut self) {
        while self.sent < self.outbox.len() {
            match rustix::io::write(&self.socket, &self.outbox[self.sent..]) {
                Ok(written) => {
                    self.sent += written;
                    self.progress_at = Instant::now();
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.outbox.drain(..self.sent);
                    self.sent = 0;
                    return;
                }
                Err(_) => {
                    self.gone = true;
                    break;
                }
            }
        }
        (self.outbox, self.sent) = (Vec::new(), 0);
    }

    /// Bytes that wait.
    pub fn waiting_bytes(&self) -> usize {
        self.outbox.len() - self.sent
    }

    /// Its task has to wait for it.
    pub fn is_behind(&self) -> bool {
        let limit = if self.attachment().is_some_and(|it| it.exec) { EXEC_LIMIT_BYTES } else { CONTAINER_LIMIT_BYTES };
        self.waiting_bytes() >= limit
    }

    /// When it is dropped, unless it takes something.
    pub fn deadline(&self) -> Option<Instant> {
        let patient = self.attachment().is_some_and(|it| it.exec);
        (self.is_behind() && !patient).then(|| self.progress_at + STALL_LIMIT)
    }

    /// Closes it once everything is sent.
    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Whether it is to be closed.
    pub fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether it can be forgotten.
    pub fn is_over(&self, now: Instant) -> bool {
        let served = self.closing || (self.input_ended && self.attachment().is_none());
        self.gone || (served && self.waiting_bytes() == 0) || self.deadline().is_some_and(|deadline| now >= deadline)
    }

    /// Watches the socket for what is wanted of it now.
    pub fn settle(&mut self, task_takes_input: bool) -> Result<()> {
        let wants_input = match self.role {
            Role::Control => self.waiting_bytes() < CONTAINER_LIMIT_BYTES,
            Role::Watcher => true,
            Role::Stream(attachment) => !attachment.stdin || task_takes_input,
        };
        if self.input_ended && self.attachment().is_some() && !self.closing && self.waiting_bytes() == 0 {
            // It may still listen, and then says nothing; once it is gone, a silent container would never notice.
            return self.socket.await_hang_up();
        }
        self.socket.set(wants_input && !self.input_ended && !self.closing, self.waiting_bytes() > 0)
    }

    /// Ends the connection so that the client reads an end, not a reset: unread bytes are taken first.
    pub fn hang_up(self, buffer: &mut [u8]) {
        let _ = rustix::net::shutdown(self.socket.as_fd(), Shutdown::Both);
        while rustix::io::read(&self.socket, &mut *buffer).is_ok_and(|len| len > 0) {}
    }
}
