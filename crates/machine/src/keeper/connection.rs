//! A stream that is never waited for: bytes that came and are not understood yet, bytes that have to go.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
};

use rustix::event::PollFlags;

/// Who has so many bytes waiting does not read.
pub const WAITING_BYTES_MAX: usize = 4 << 20;

/// See the module.
pub struct Connection {
    /// The stream, non-blocking.
    pub stream: UnixStream,
    /// What came.
    pub came: Vec<u8>,
    /// What has to go.
    pub goes: Vec<u8>,
    /// Nothing more will come.
    pub ended: bool,
    /// Of no more use.
    pub gone: bool,
}

impl Connection {
    /// Over a stream, which becomes non-blocking.
    pub fn over(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self { stream, came: Vec::new(), goes: Vec::new(), ended: false, gone: false })
    }

    /// What it is waited for; `reads` says whether there is room for more.
    pub fn interest(&self, reads: bool) -> PollFlags {
        let mut flags = if reads && !self.ended { PollFlags::IN } else { PollFlags::empty() };
        if !self.goes.is_empty() {
            flags |= PollFlags::OUT;
        }
        flags
    }

    /// Reads what there is, one buffer at most.
    pub fn read(&mut self) {
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(read) => self.came.extend_from_slice(&buffer[..read]),
            Err(error) if is_passing(&error) => {}
            Err(_) => self.gone = true,
        }
    }

    /// Queues bytes and writes what can be written; who does not read is given up.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.goes.len() + bytes.len() > WAITING_BYTES_MAX {
            self.gone = true;
            return;
        }
        self.goes.extend_from_slice(bytes);
        self.flush();
    }

    /// Writes what can be written.
    pub fn flush(&mut self) {
        while !self.goes.is_empty() && !self.gone {
            match self.stream.write(&self.goes) {
                Ok(0) => self.gone = true,
                Ok(written) => drop(self.goes.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.gone = true,
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
