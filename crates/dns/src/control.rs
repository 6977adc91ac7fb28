//! "Read this again": how the daemon tells the resolver that the state on disk has changed, and waits until it is known.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use berth_sys::message;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};

use crate::error::{Error, Result};

/// Name of the socket in the directory of the state.
pub const SOCKET: &str = "socket";
/// How long the other end may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// Tells the resolver to read `network ID`, `container ID`, or to `leave`; returns when it has.
///
/// # Errors
/// [`Error::Control`]: no resolver runs, or it does not answer.
pub fn poke(dir: &Path, what: &str) -> Result<()> {
    let path = dir.join(SOCKET);
    let failed = |source: io::Error| Error::Control { path: path.clone(), source };
    let talk = || -> io::Result<()> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        connect(&socket, &SocketAddrUnix::new(&path)?)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        message::send(socket.as_fd(), what.as_bytes(), &[])?;
        let mut answer = [0u8; 8];
        match message::receive(socket.as_fd(), &mut answer)?.bytes {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    };
    talk().map_err(failed)
}

/// The resolver's end. A socket that an earlier one left is replaced.
pub fn open(dir: &Path) -> Result<OwnedFd> {
    let path = dir.join(SOCKET);
    let open = || -> io::Result<OwnedFd> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        bind(&socket, &SocketAddrUnix::new(&path)?)?;
        listen(&socket, 64)?;
        Ok(socket)
    };
    open().map_err(|source| Error::Control { path, source })
}

/// Takes one request: what is to be read again, and where to say that it was.
pub fn accept(listener: &OwnedFd) -> Option<(String, OwnedFd)> {
    let socket = rustix::net::accept_with(listener, SocketFlags::CLOEXEC).ok()?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).ok()?;
    let mut buffer = [0u8; 256];
    let count = message::receive(socket.as_fd(), &mut buffer).ok()?.bytes;
    Some((String::from_utf8_lossy(&buffer[..count]).into_owned(), socket))
}

/// Says that it was done.
pub fn done(socket: &OwnedFd) {
    // Who asked may have left.
    let _ = message::send(socket.as_fd(), b"ok", &[]);
}
