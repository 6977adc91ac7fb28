//! A network device (virtio 1.2, 5.1) on a tap. Checksums and segments are passed through: the host's kernel and the
//! guest's do that work, or leave it undone where packets never leave the machine.

mod bits;
mod tap;

use std::os::fd::BorrowedFd;

use self::{
    bits::{
        BUFFERS_AT, CHECKSUM, FRAME_BYTES_MAX, GUEST_CHECKSUM, GUEST_TSO4, GUEST_TSO6, HEADER_BYTES, HOST_TSO4,
        HOST_TSO6, ID, MAC, MERGEABLE, QUEUES, RECEIVE, SEND,
    },
    tap::Tap,
};
use super::{Chain, Device, Fault, Rings, transfer};
use crate::{Result, config, rate::Limiter};

/// What stands behind a device: a tap, or a socket of packets in tests.
pub(super) trait Wire: Send {
    fn as_fd(&self) -> BorrowedFd<'_>;
    fn set_offloads(&self, features: u64);
    fn receive(&self, frame: &mut [u8]) -> std::io::Result<usize>;
}

impl Wire for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(self)
    }

    fn set_offloads(&self, features: u64) {
        Tap::set_offloads(self, features);
    }

    fn receive(&self, frame: &mut [u8]) -> std::io::Result<usize> {
        Tap::receive(self, frame)
    }
}

#[cfg(any(test, feature = "hostile"))]
impl Wire for std::os::unix::net::UnixDatagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(self)
    }

    fn set_offloads(&self, _features: u64) {}

    fn receive(&self, frame: &mut [u8]) -> std::io::Result<usize> {
        self.recv(frame)
    }
}

/// See the module.
pub struct Net {
    wire: Box<dyn Wire>,
    mac: [u8; 6],
    mergeable: bool,
    receive: Limiter,
    send: Limiter,
    /// A packet that came and is not with the driver yet.
    frame: Box<[u8; FRAME_BYTES_MAX]>,
    frame_bytes: usize,
}

impl Net {
    /// # Errors
    /// [`crate::Error::File`], [`crate::Error::System`].
    pub fn new(of: &config::Nic) -> Result<Self> {
        Self::on(Box::new(Tap::open(&of.tap)?), of)
    }

    pub(super) fn on(wire: Box<dyn Wire>, of: &config::Nic) -> Result<Self> {
        Ok(Self {
            wire,
            mac: of.mac,
            mergeable: false,
            receive: Limiter::new(of.receive)?,
            send: Limiter::new(of.send)?,
            frame: Box::new([0; FRAME_BYTES_MAX]),
            frame_bytes: 0,
        })
    }

    /// Packets from the tap, as long as the driver has room for them.
    fn receive(&mut self, rings: &mut Rings<'_>) -> Result<(), Fault> {
        loop {
            if self.frame_bytes == 0 {
                match self.wire.receive(&mut self.frame[..]) {
                    Ok(bytes) if bytes > HEADER_BYTES => self.frame_bytes = bytes,
                    // Nothing is there, or the tap is gone, and the guest hears no more of it.
                    _ => return Ok(()),
                }
            }
            if !self.receive.admits(self.frame_bytes as u64) || !self.deliver(rings)? {
                return Ok(());
            }
            self.frame_bytes = 0;
        }
    }

    /// Puts the packet into as many buffers as it needs. `false` when there are too few.
    fn deliver(&mut self, rings: &mut Rings<'_>) -> Result<bool, Fault> {
        let mut chains: Vec<Chain> = Vec::new();
        let mut room = 0;
        while room < self.frame_bytes {
            match rings.take(RECEIVE)? {
                Some(chain) if chain.writable_bytes() < HEADER_BYTES => {
                    return Err(Fault("a buffer without room for a packet's head"));
                }
                Some(chain) => {
                    room += chain.writable_bytes();
                    chains.push(chain);
                }
                None => {
                    chains.iter().for_each(|_| rings.put_back(RECEIVE));
                    return Ok(false);
                }
            }
            if !self.mergeable {
                break;
            }
        }
        let count = u16::try_from(chains.len()).unwrap_or(u16::MAX);
        self.frame[BUFFERS_AT..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
        let mut done = 0;
        for chain in &chains {
            // A packet too large for the only buffer that it may have is cut, which its receiver notices.
            let written = chain.write(rings.memory, 0, &self.frame[done..self.frame_bytes]);
            rings.give(RECEIVE, chain, written as u32)?;
            done += written;
        }
        Ok(true)
    }

    /// Packets to the tap. What it does not take is lost, as on a cable.
    fn send(&mut self, rings: &mut Rings<'_>) -> Result<(), Fault> {
        while let Some(chain) = rings.take(SEND)? {
            let bytes = chain.readable_bytes();
            if (HEADER_BYTES + 1..=FRAME_BYTES_MAX).contains(&bytes) {
                if !self.send.admits(bytes as u64) {
                    rings.put_back(SEND);
                    return Ok(());
                }
                let parts = chain.readable(0, bytes);
                let _ = transfer::once(self.wire.as_fd(), rings.memory, &parts, transfer::Direction::Out(None));
            }
            rings.give(SEND, &chain, 0)?;
        }
        Ok(())
    }
}

impl Device for Net {
    fn id(&self) -> u32 {
        ID
    }

    fn features(&self) -> u64 {
        CHECKSUM | GUEST_CHECKSUM | MAC | GUEST_TSO4 | GUEST_TSO6 | HOST_TSO4 | HOST_TSO6 | MERGEABLE
    }

    fn queues(&self) -> &[u16] {
        QUEUES
    }

    fn config(&self) -> Vec<u8> {
        self.mac.to_vec()
    }

    fn activate(&mut self, features: u64) {
        self.mergeable = features & MERGEABLE != 0;
        self.wire.set_offloads(features);
    }

    fn notified(&mut self, queue: usize, rings: &mut Rings<'_>) -> Result<(), Fault> {
        match queue {
            RECEIVE => self.receive(rings),
            _ => self.send(rings),
        }
    }

    /// The tap, then the timers: any of them may mean anything, and asking costs little.
    fn sources(&self) -> Vec<BorrowedFd<'_>> {
        let mut sources = vec![self.wire.as_fd()];
        sources.extend(self.receive.timer());
        sources.extend(self.send.timer());
        sources
    }

    fn ready(&mut self, source: usize, rings: &mut Rings<'_>) -> Result<(), Fault> {
        self.receive(rings)?;
        if source == 0 { Ok(()) } else { self.send(rings) }
    }

    fn reset(&mut self) {
        self.frame_bytes = 0;
        self.mergeable = false;
    }
}

#[cfg(test)]
mod tests;
