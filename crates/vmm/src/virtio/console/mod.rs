//! Named byte streams between guest and host (virtio 1.2, 5.3, with the multiport feature): the engine speaks with its
//! agent through one.
//!
//! ```text
//! driver: DEVICE_READY ─► PORT_ADD for each ─► driver: PORT_READY ─► PORT_NAME, PORT_OPEN ─► driver: PORT_OPEN
//! ```

mod bits;
mod port;

use std::{
    collections::VecDeque,
    os::{fd::BorrowedFd, unix::net::UnixStream},
};

use serde::{Deserialize, Serialize};

use self::{
    bits::{CONTROL_IN, CONTROL_OUT, ID, MESSAGE_BYTES, MULTIPORT, QUEUE, event, message, parse, queue_in},
    port::Port,
};
use super::{Device, Fault, Rings};
use crate::{Error, Result, config};

/// Messages that the driver has not taken yet. One that asks and never listens is a hostile one.
const MESSAGES_MAX: usize = 256;

/// See the module.
#[derive(Debug)]
pub struct Console {
    ports: Vec<Port>,
    queues: Vec<u16>,
    outbox: VecDeque<Vec<u8>>,
}

/// What a snapshot has of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    open: Vec<bool>,
    outbox: VecDeque<Vec<u8>>,
}

impl Console {
    /// Calls those who listen for the ports.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn new(of: &[config::Port]) -> Result<Self> {
        let mut ports = Vec::with_capacity(of.len());
        for one in of {
            let stream = UnixStream::connect(&one.socket).map_err(Error::file("connect to", &one.socket))?;
            ports.push((one.name.clone(), stream));
        }
        Self::on(ports)
    }

    pub(super) fn on(streams: Vec<(String, UnixStream)>) -> Result<Self> {
        let mut ports = Vec::with_capacity(streams.len());
        for (name, stream) in streams {
            stream.set_nonblocking(true).map_err(Error::io("set a port's socket up"))?;
            ports.push(Port::new(name, stream));
        }
        let queues = vec![QUEUE; queue_in(ports.len()) + 2];
        Ok(Self { ports, queues, outbox: VecDeque::new() })
    }

    /// The driver tells something.
    fn control(&mut self, rings: &mut Rings<'_>) -> Result<(), Fault> {
        while let Some(chain) = rings.take(CONTROL_OUT)? {
            let mut bytes = [0; MESSAGE_BYTES];
            if chain.read(rings.memory, 0, &mut bytes) == MESSAGE_BYTES {
                self.told(parse(&bytes));
            }
            rings.give(CONTROL_OUT, &chain, 0)?;
            if self.outbox.len() > MESSAGES_MAX {
                return Err(Fault("more questions than it takes answers"));
            }
        }
        self.answer(rings)?;
        // A port that was opened may have bytes waiting.
        (0..self.ports.len()).try_for_each(|index| self.turn(index, rings))
    }

    fn told(&mut self, (number, what, value): (u32, u16, u16)) {
        if (what, value) == (event::DEVICE_READY, 1) {
            let add = (1..=self.ports.len()).map(|number| message(number as u32, event::PORT_ADD, 1));
            return self.outbox.extend(add);
        }
        let Some(port) = (number as usize).checked_sub(1).and_then(|index| self.ports.get_mut(index)) else { return };
        match (what, value) {
            (event::PORT_READY, 1) => {
                let name = [&message(number, event::PORT_NAME, 1)[..], port.name.as_bytes()].concat();
                self.outbox.push_back(name);
                self.outbox.push_back(message(number, event::PORT_OPEN, port.connected.into()));
            }
            (event::PORT_OPEN, 0) => port.close(),
            (event::PORT_OPEN, _) => port.open = true,
            _ => {}
        }
    }

    fn answer(&mut self, rings: &mut Rings<'_>) -> Result<(), Fault> {
        while let Some(message) = self.outbox.front() {
            let Some(chain) = rings.take(CONTROL_IN)? else { break };
            let written = chain.write(rings.memory, 0, message);
            rings.give(CONTROL_IN, &chain, written as u32)?;
            self.outbox.pop_front();
        }
        Ok(())
    }

    /// Moves what can be moved through a port, both ways.
    fn turn(&mut self, index: usize, rings: &mut Rings<'_>) -> Result<(), Fault> {
        let number = index + 1;
        let port = &mut self.ports[index];
        let mut connected = port.receive(queue_in(number), rings)?;
        connected &= port.send(queue_in(number) + 1, rings)?;
        if !connected {
            self.outbox.push_back(message(number as u32, event::PORT_OPEN, 0));
            self.answer(rings)?;
        }
        Ok(())
    }
}

impl Device for Console {
    fn id(&self) -> u32 {
        ID
    }

    fn features(&self) -> u64 {
        MULTIPORT
    }

    fn queues(&self) -> &[u16] {
        &self.queues
    }

    fn config(&self) -> Vec<u8> {
        let ports = self.ports.len() as u32 + 1;
        [&[0; 4][..], &ports.to_le_bytes(), &[0; 4]].concat()
    }

    fn notified(&mut self, queue: usize, rings: &mut Rings<'_>) -> Result<(), Fault> {
        match queue {
            CONTROL_OUT => self.control(rings),
            CONTROL_IN => self.answer(rings),
            // Port 0 is not there.
            0 | 1 => Ok(()),
            queue => self.turn(queue / 2 - 2, rings),
        }
    }

    fn sources(&self) -> Vec<BorrowedFd<'_>> {
        self.ports.iter().map(Port::as_fd).collect()
    }

    fn ready(&mut self, source: usize, rings: &mut Rings<'_>) -> Result<(), Fault> {
        if source < self.ports.len() { self.turn(source, rings) } else { Ok(()) }
    }

    fn reset(&mut self) {
        self.outbox.clear();
        self.ports.iter_mut().for_each(Port::close);
    }

    fn save(&self) -> serde_json::Value {
        let open = self.ports.iter().map(|port| port.open).collect();
        serde_json::to_value(Saved { open, outbox: self.outbox.clone() }).unwrap_or_default()
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<(), String> {
        let saved = Saved::deserialize(state).map_err(|error| error.to_string())?;
        if saved.open.len() != self.ports.len() {
            return Err(format!("it had {} ports, and has {}", saved.open.len(), self.ports.len()));
        }
        self.outbox = saved.outbox;
        for (port, open) in self.ports.iter_mut().zip(saved.open) {
            port.open = open;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
