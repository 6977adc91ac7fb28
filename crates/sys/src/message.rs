//! Messages with descriptors over Unix sockets (`SCM_RIGHTS` in `unix(7)`), and who is at the other end.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};

use crate::{Errno, Result};

/// The most descriptors that one message carries (the kernel's own limit is 253).
pub const MAX_DESCRIPTORS: usize = 64;

/// What came with one message.
#[derive(Debug, Default)]
pub struct Received {
    /// Bytes written to the buffer; 0 together with no descriptors means that the peer is gone.
    pub bytes: usize,
    /// Descriptors, close-on-exec, in the order they were sent.
    pub descriptors: Vec<OwnedFd>,
}

/// A connected pair of Unix sockets that keep message boundaries, both close-on-exec.
pub fn pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends bytes (at least one) with up to [`MAX_DESCRIPTORS`] descriptors. Never raises `SIGPIPE`.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
    if descriptors.len() > MAX_DESCRIPTORS || bytes.is_empty() {
        return Err(Errno::INVAL);
    }
    let mut space = [MaybeUninit::<u8>::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::NOBUFS);
    }
    loop {
        match rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            Ok(sent) if sent == bytes.len() => return Ok(()),
            Ok(_) => return Err(Errno::MSGSIZE),
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        }
    }
}

/// Receives one message into `buffer`. Waits, unless the socket is non-blocking (`EAGAIN`).
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Received> {
    let mut space = [MaybeUninit::<u8>::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let bytes = loop {
        let mut parts = [IoSliceMut::new(buffer)];
        match rustix::net::recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Ok(message) => break message.bytes,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        }
    };
    let mut received = Received { bytes, descriptors: Vec::new() };
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            received.descriptors.extend(rights);
        }
    }
    Ok(received)
}

/// Who connected to a Unix socket (`SO_PEERCRED`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Process id in the caller's pid namespace.
    pub pid: i32,
    /// Effective user id when it connected.
    pub uid: u32,
    /// Effective group id when it connected.
    pub gid: u32,
}

/// The credentials of the process that connected.
pub fn peer(socket: BorrowedFd<'_>) -> Result<Peer> {
    let credentials = rustix::net::sockopt::socket_peercred(socket)?;
    Ok(Peer {
        pid: credentials.pid.as_raw_nonzero().get(),
        uid: credentials.uid.as_raw(),
        gid: credentials.gid.as_raw(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_descriptor_travels_with_its_bytes() {
        let (here, there) = pair().expect("pair");
        let (reader, writer) = std::io::pipe().expect("pipe");
        send(here.as_fd(), b"take", &[writer.as_fd()]).expect("send");
        let mut buffer = [0u8; 16];
        let received = receive(there.as_fd(), &mut buffer).expect("receive");
        assert_eq!((&buffer[..received.bytes], received.descriptors.len()), (&b"take"[..], 1));
        rustix::io::write(&received.descriptors[0], b"x").expect("write");
        let mut byte = [0u8; 1];
        assert_eq!(rustix::io::read(&reader, &mut byte), Ok(1));
        drop(here);
        assert_eq!(receive(there.as_fd(), &mut buffer).expect("end").bytes, 0);
    }

    #[test]
    fn own_peer_is_oneself() {
        let (here, _there) = pair().expect("pair");
        assert_eq!(peer(here.as_fd()).expect("peer").pid, std::process::id() as i32);
    }
}
