//! Sockets in the network namespace of a container.

use std::fs::File;
use std::net::{SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use berth_sys::namespace::{self, bit};
use berth_sys::pidfd;

use crate::error::{Error, Result};

/// What serves one container.
#[derive(Debug)]
pub struct Sockets {
    /// Questions by datagram.
    pub udp: UdpSocket,
    /// Questions by stream.
    pub tcp: TcpListener,
    /// Process 1 of the container: with its end the sockets go, as they keep its network alive.
    pub process: OwnedFd,
}

impl Sockets {
    /// Opens them in the network of process `pid`, which was `born` then, and comes home.
    pub fn open(container: &str, pid: i32, born: u64, at: SocketAddrV4) -> Result<Self> {
        let failed = |source: std::io::Error| Error::Bind { container: container.to_owned(), source };
        let process = pidfd::open(pid).map_err(|errno| failed(errno.into()))?;
        if berth_sys::process::birth(pid) != Some(born) {
            return Err(failed(berth_sys::Errno::SRCH.into()));
        }
        let home = File::open("/proc/thread-self/ns/net").map_err(failed)?;
        namespace::join(process.as_fd(), bit::NETWORK).map_err(|errno| failed(errno.into()))?;
        let opened = open(at);
        if namespace::join(home.as_fd(), bit::NETWORK).is_err() {
            // A resolver that is lost in a container's network must not go on for the others.
            std::process::abort();
        }
        let (udp, tcp) = opened.map_err(failed)?;
        Ok(Self { udp, tcp, process })
    }
}

fn open(at: SocketAddrV4) -> std::io::Result<(UdpSocket, TcpListener)> {
    let udp = UdpSocket::bind(at)?;
    let tcp = TcpListener::bind(at)?;
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    Ok((udp, tcp))
}
