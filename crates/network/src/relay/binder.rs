//! Sockets that listen: made where the process is, or in the network that it came from.
//!
//! A process that stands between two networks listens in one and connects in the other. A socket belongs to the network
//! that its thread was in when it made it, so the sockets that listen are made by a thread that stayed behind.

use std::{
    io,
    os::fd::OwnedFd,
    sync::mpsc::{SyncSender, sync_channel},
    thread,
};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::wire::Relay;
use crate::port::Protocol;

const BACKLOG: i32 = 128;
const STACK_BYTES: usize = 64 << 10;

type Question = (Relay, SyncSender<io::Result<OwnedFd>>);

/// Who makes the sockets.
#[derive(Debug, Default)]
pub struct Binder(Option<SyncSender<Question>>);

impl Binder {
    /// A thread that stays in the caller's network, wherever the caller goes from here.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn stay() -> io::Result<Self> {
        let (sender, receiver) = sync_channel::<Question>(0);
        let work = move || {
            while let Ok((relay, answer)) = receiver.recv() {
                // Who asked may have given up.
                let _ = answer.send(bind(&relay));
            }
        };
        thread::Builder::new().name("berth-binder".to_owned()).stack_size(STACK_BYTES).spawn(work)?;
        Ok(Self(Some(sender)))
    }

    /// A socket at the relay's address; it listens, if it is one of connections.
    pub(super) fn bind(&self, relay: &Relay) -> io::Result<OwnedFd> {
        let Some(thread) = &self.0 else { return bind(relay) };
        let (sender, receiver) = sync_channel(1);
        let gone = || io::Error::other("the thread that binds is gone");
        thread.send((relay.clone(), sender)).map_err(|_| gone())?;
        receiver.recv().map_err(|_| gone())?
    }
}

/// A socket of one family alone: where there are two, they are two relays.
fn bind(relay: &Relay) -> io::Result<OwnedFd> {
    let (kind, protocol) = match relay.protocol {
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        _ => (SocketType::STREAM, ipproto::TCP),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let family = if relay.at.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = net::socket_with(family, kind, flags, Some(protocol))?;
    if relay.at.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if relay.protocol == Protocol::Tcp {
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    net::bind(&socket, &relay.at)?;
    if relay.protocol == Protocol::Tcp {
        net::listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}
