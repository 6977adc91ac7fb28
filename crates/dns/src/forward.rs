//! Questions that others answer: one connected socket each, so that only who was asked is heard.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::PORT;
use crate::message::Query;

/// How long one server may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the list of servers is gone through.
const ROUNDS: usize = 2;

/// A question that is under way.
#[derive(Debug)]
pub struct Pending {
    /// The container that asked.
    pub container: String,
    /// Where in it the answer goes.
    pub client: SocketAddr,
    /// When the next server is asked.
    pub deadline: Instant,
    /// The socket of the server that is asked now.
    pub socket: UdpSocket,
    query: Query,
    /// The question under a number of our own.
    bytes: Vec<u8>,
    id: u16,
    rest: std::vec::IntoIter<IpAddr>,
}

impl Pending {
    /// Asks the first server that can be reached; `None` when there is none.
    pub fn begin(container: &str, client: SocketAddr, query: Query, bytes: &[u8], servers: &[IpAddr]) -> Option<Self> {
        let usable: Vec<IpAddr> =
            servers.iter().copied().filter(|server| *server != IpAddr::V4(crate::ADDRESS)).collect();
        let mut rest: Vec<IpAddr> = Vec::new();
        for _ in 0..ROUNDS {
            rest.extend(&usable);
        }
        let mut rest = rest.into_iter();
        let id = random();
        let mut bytes = bytes.to_vec();
        bytes.get_mut(..2)?.copy_from_slice(&id.to_be_bytes());
        let socket = ask(&mut rest, &bytes)?;
        let deadline = Instant::now() + PATIENCE;
        Some(Self { container: container.to_owned(), client, deadline, socket, query, bytes, id, rest })
    }

    /// Asks the next server; `false` when none is left.
    pub fn retry(&mut self) -> bool {
        let Some(socket) = ask(&mut self.rest, &self.bytes) else { return false };
        self.socket = socket;
        self.deadline = Instant::now() + PATIENCE;
        true
    }

    /// The answer for the client, when the server has given one; an error when the server cannot be reached.
    pub fn receive(&self, buffer: &mut [u8]) -> std::io::Result<Option<usize>> {
        loop {
            match self.socket.recv(buffer) {
                Ok(count) if self.query.is_answered_by(&buffer[..count], self.id) => {
                    buffer[..2].copy_from_slice(&self.query.id.to_be_bytes());
                    return Ok(Some(count));
                }
                // Not an answer to this: somebody guesses.
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// The question.
    pub fn query(&self) -> &Query {
        &self.query
    }
}

fn ask(servers: &mut impl Iterator<Item = IpAddr>, bytes: &[u8]) -> Option<UdpSocket> {
    servers.find_map(|server| {
        let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any).ok()?;
        socket.connect((server, PORT)).ok()?;
        socket.set_nonblocking(true).ok()?;
        socket.send(bytes).ok()?;
        Some(socket)
    })
}

/// A number that strangers cannot guess.
pub fn random() -> u16 {
    let mut bytes = [0u8; 2];
    // It fails in no way that this call could meet; the port of the socket is random besides.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u16::from_be_bytes(bytes)
}
