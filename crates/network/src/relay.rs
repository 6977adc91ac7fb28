//! `[::]:port` of the host for networks without IPv6, and `[::1]:port` for those with.
//!
//! The kernel cannot rewrite an IPv6 destination to an IPv4 one, and drops what comes to `::1` from another link, so such
//! TCP connections to a published port (`localhost` often means `::1` first) are accepted here and carried on. Relays live
//! in the daemon: while it is down, clients that try all addresses of a name fall back to IPv4, whose path is in the
//! kernel.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::net::{self, AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::AbortHandle,
};

use crate::port::{Protocol, PublishedPort};

/// Connections that one relay carries at once.
const CONNECTIONS: usize = 1024;
const BACKLOG: i32 = 128;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The relays that listen, by the port they stand for.
#[derive(Debug, Default)]
pub(crate) struct Relays {
    listening: Mutex<HashMap<PublishedPort, AbortHandle>>,
}

impl Relays {
    /// Listens at an address of the host for an IPv6 port, and carries connections to `target`; whether it does. One that
    /// listens already stays.
    pub async fn open(&self, port: &PublishedPort, at: IpAddr, target: SocketAddr) -> bool {
        if port.protocol != Protocol::Tcp {
            return false;
        }
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if listening.contains_key(port) {
            return true;
        }
        match listen(SocketAddr::new(at, port.host_port)) {
            Ok(listener) => {
                listening.insert(*port, tokio::spawn(accept(listener, target)).abort_handle());
                true
            }
            Err(error) => {
                tracing::debug!(%error, port = port.host_port, "no relay for IPv6");
                false
            }
        }
    }

    /// Stops listening; connections that are open go on until their container ends.
    pub fn close(&self, port: &PublishedPort) {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(relay) = listening.remove(port) {
            relay.abort();
        }
    }
}

impl Drop for Relays {
    fn drop(&mut self) {
        let listening = self.listening.get_mut().unwrap_or_else(PoisonError::into_inner);
        listening.values().for_each(AbortHandle::abort);
    }
}

/// A listener of IPv6 alone: IPv4 belongs to the packet rules.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(AddressFamily::INET6, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_ipv6_v6only(&socket, true)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    net::bind(&socket, &address)?;
    net::listen(&socket, BACKLOG)?;
    TcpListener::from_std(socket.into())
}

async fn accept(listener: TcpListener, target: SocketAddr) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                tokio::spawn(async move {
                    carry(client, target).await;
                    drop(permit);
                });
            }
            // Out of descriptors, or the client is gone: neither ends the relay.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn carry(mut client: TcpStream, target: SocketAddr) {
    let Ok(Ok(mut server)) = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await else { return };
    // How a connection ends is between its two ends.
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}
