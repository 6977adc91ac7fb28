//! The loop: one event after another, each handed to whom it concerns.

use std::os::fd::BorrowedFd;

use rustix::{event::epoll, io::Errno};

use super::{Machine, Outcome, build::add, locked};
use crate::{Error, Result};

/// Events of one wait.
const EVENTS: usize = 32;

/// Tokens: whose event it is. A device's have its index above, and below the queue or, with [`SOURCE`], the source.
const END: u64 = u64::MAX;
const CONTROL: u64 = u64::MAX - 1;
const DEVICE_SHIFT: u32 = 16;
const SOURCE: u64 = 1 << 15;

/// Watches everything that a machine has.
pub(super) fn watch_all(machine: &Machine) -> Result<()> {
    let set = &machine.set;
    add(set, borrowed(machine.end.event()), END, false)?;
    if let Some(door) = &machine.control {
        add(set, door, CONTROL, false)?;
    }
    for (device, transport) in (0_u64..).zip(&machine.bus.virtio) {
        let transport = locked(transport);
        for (queue, kick) in (0_u64..).zip(transport.kicks()) {
            add(set, borrowed(kick), device << DEVICE_SHIFT | queue, false)?;
        }
        for (source, fd) in (0_u64..).zip(transport.sources()) {
            add(set, fd, device << DEVICE_SHIFT | SOURCE | source, true)?;
        }
    }
    Ok(())
}

impl Machine {
    /// Turns the machine until it ends.
    pub(super) fn turn(&mut self) -> Result<Outcome> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            match epoll::wait(&self.set, rustix::buffer::spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::errno("wait for events")(errno)),
            }
            for event in &events {
                match event.data.u64() {
                    END => return Ok(self.end.told().unwrap_or(Outcome::Stopped)),
                    CONTROL => self.serve_control(),
                    token => self.turn_device(token),
                }
            }
        }
    }

    fn turn_device(&self, token: u64) {
        let Some(transport) = self.bus.virtio.get((token >> DEVICE_SHIFT) as usize) else { return };
        let mut transport = locked(transport);
        match token & (SOURCE - 1) {
            source if token & SOURCE != 0 => transport.ready(source as usize),
            queue => transport.kicked(queue as usize),
        }
    }
}

fn borrowed(event: &vmm_sys_util::eventfd::EventFd) -> BorrowedFd<'_> {
    // SAFETY: the descriptor is the event's own, and is borrowed for as long as the event is.
    unsafe { BorrowedFd::borrow_raw(std::os::fd::AsRawFd::as_raw_fd(event)) }
}
