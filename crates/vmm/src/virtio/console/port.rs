//! One port: a byte stream between a program in the guest and a socket of the host.

use std::{
    io::ErrorKind,
    os::{
        fd::{AsFd as _, BorrowedFd},
        unix::net::UnixStream,
    },
};

use super::super::{Fault, Rings, transfer};

/// See the module.
#[derive(Debug)]
pub struct Port {
    pub name: String,
    stream: UnixStream,
    /// The host's side is there.
    pub connected: bool,
    /// A program of the guest has it open: bytes before that would be thrown away there.
    pub open: bool,
    /// How much of the first buffer of the guest's has been written.
    sent: usize,
}

impl Port {
    /// A port on a socket that does not block.
    pub const fn new(name: String, stream: UnixStream) -> Self {
        Self { name, stream, connected: true, open: false, sent: 0 }
    }

    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    pub const fn close(&mut self) {
        (self.open, self.sent) = (false, 0);
    }

    /// Bytes to the guest. `false` when the host's side has just gone.
    pub fn receive(&mut self, queue: usize, rings: &mut Rings<'_>) -> Result<bool, Fault> {
        while self.connected && self.open {
            let Some(chain) = rings.take(queue)? else { break };
            let parts = chain.writable(0, usize::MAX);
            if parts.is_empty() {
                return Err(Fault("a buffer without room for a byte"));
            }
            match transfer::once(self.stream.as_fd(), rings.memory, &parts, transfer::Direction::In(None)) {
                Ok(0) => self.connected = false,
                Ok(bytes) => {
                    rings.give(queue, &chain, bytes as u32)?;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => self.connected = false,
            }
            rings.put_back(queue);
            return Ok(self.connected);
        }
        Ok(true)
    }

    /// Bytes from the guest. What the socket does not take yet stays in its buffer. `false` as above.
    pub fn send(&mut self, queue: usize, rings: &mut Rings<'_>) -> Result<bool, Fault> {
        let before = self.connected;
        while let Some(chain) = rings.take(queue)? {
            loop {
                let parts = chain.readable(self.sent, usize::MAX);
                if parts.is_empty() || !self.connected {
                    break;
                }
                match transfer::once(self.stream.as_fd(), rings.memory, &parts, transfer::Direction::Out(None)) {
                    Ok(bytes) => self.sent += bytes,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        rings.put_back(queue);
                        return Ok(true);
                    }
                    Err(_) => self.connected = false,
                }
            }
            self.sent = 0;
            rings.give(queue, &chain, 0)?;
        }
        Ok(self.connected || !before)
    }
}
