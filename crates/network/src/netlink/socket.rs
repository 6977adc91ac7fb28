//! One netlink socket: batches with all their acknowledgements, and dumps.

use std::{
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::mpsc,
    time::Duration,
};

use berth_sys::namespace;
use rustix::{
    io::Errno,
    net::{
        self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::{self, SocketAddrNetlink},
        sockopt::{self, Timeout},
    },
};

use super::{
    bits::{nf, nl},
    reply::{self, Malformed},
    request::Request,
};

/// The kernel answers before `sendmsg(2)` returns; a wait this long means that an answer was lost.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages per `sendmsg(2)`: their acknowledgements must fit into the receive buffer.
const BATCH_MESSAGES: usize = 256;
/// How long to wait for whom the kernel is busy with.
const BUSY_PAUSES_MS: [u64; 5] = [1, 2, 5, 10, 20];
const RECEIVE_BYTES: usize = 64 * 1024;
const SEND_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Which netlink family a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `NETLINK_ROUTE`: links, addresses, routes.
    Route,
    /// `NETLINK_NETFILTER`: nf_tables.
    Netfilter,
}

/// Why the kernel refused, or why its answer could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A system call on the socket failed.
    #[error("netlink {act}: {errno}")]
    Socket {
        /// `open`, `send`, `receive` or `enter namespace`.
        act: &'static str,
        /// The kernel's number.
        errno: Errno,
    },
    /// The kernel refused the request at `index` of the batch.
    #[error("{errno}{}", words.as_deref().map(|words| format!(" ({words})")).unwrap_or_default())]
    Kernel {
        /// Position in the batch, from 0.
        index: usize,
        /// The kernel's number.
        errno: Errno,
        /// The kernel's own explanation (extended acknowledgement).
        words: Option<String>,
    },
    /// The reply is not well-formed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl Refusal {
    /// The kernel's error number, where there is one.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Socket { errno, .. } | Self::Kernel { errno, .. } => Some(*errno),
            Self::Malformed(_) => None,
        }
    }

    /// Whether the kernel's number is `errno`.
    #[must_use]
    pub fn is(&self, errno: Errno) -> bool {
        self.errno() == Some(errno)
    }
}

/// A netlink socket of the network namespace in which it was opened; it stays there wherever it is used.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    /// Closed after `fd`; see [`Socket::drop`].
    closer: Option<mpsc::Sender<()>>,
    family: Family,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

/// Whoever closes the last descriptor of a socket of the packet filter waits until the kernel has thrown away what was
/// replaced in its rules: a grace period, some 10 ms. So a thread keeps one more descriptor, and does the waiting.
impl Drop for Socket {
    fn drop(&mut self) {
        if self.family != Family::Netfilter {
            return;
        }
        let Ok(last) = self.fd.try_clone() else { return };
        let (closer, closed) = mpsc::channel::<()>();
        let wait = move || {
            // Until the other descriptor is closed, and the sender behind it gone.
            let _ = closed.recv();
            drop(last);
        };
        let thread = std::thread::Builder::new().name("berth-close".to_owned()).stack_size(64 << 10);
        if thread.spawn(wait).is_ok() {
            self.closer = Some(closer);
        }
    }
}

impl Socket {
    /// Opens a socket in the caller's network namespace.
    ///
    /// # Errors
    /// [`Refusal::Socket`].
    pub fn open(family: Family) -> Result<Self, Refusal> {
        Self::open_listening(family, 0)
    }

    /// Opens a socket that also hears the multicast groups of the mask `groups`.
    ///
    /// # Errors
    /// [`Refusal::Socket`].
    pub fn open_listening(family: Family, groups: u32) -> Result<Self, Refusal> {
        let failed = |errno| Refusal::Socket { act: "open", errno };
        let protocol = match family {
            Family::Route => None,
            Family::Netfilter => Some(netlink::NETFILTER),
        };
        let fd = net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
            .map_err(failed)?;
        net::bind(&fd, &SocketAddrNetlink::new(0, groups)).map_err(failed)?;
        let address = SocketAddrNetlink::try_from(net::getsockname(&fd).map_err(failed)?).map_err(failed)?;
        sockopt::set_socket_timeout(&fd, Timeout::Recv, Some(REPLY_TIMEOUT)).map_err(failed)?;
        // Old kernels explain less and limit more; neither hinders the work.
        let _ = berth_sys::netlink::explain_errors(fd.as_fd());
        if family == Family::Netfilter {
            let _ = sockopt::set_socket_send_buffer_size_force(&fd, SEND_BUFFER_BYTES);
        }
        Ok(Self { fd, closer: None, family, port: address.pid(), sequence: 0, buffer: Vec::new() })
    }

    /// Opens a socket in the network namespace `namespace`. A thread of its own goes there and ends, so that no
    /// thread of a pool is ever left in a foreign namespace.
    ///
    /// # Errors
    /// [`Refusal::Socket`].
    pub fn open_in(namespace: BorrowedFd<'_>, family: Family) -> Result<Self, Refusal> {
        let enter = || {
            namespace::join(namespace, namespace::bit::NETWORK)
                .map_err(|errno| Refusal::Socket { act: "enter namespace", errno })?;
            Self::open(family)
        };
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("berth-netns".to_owned()).stack_size(128 * 1024);
            let handle = thread
                .spawn_scoped(scope, enter)
                .map_err(|_| Refusal::Socket { act: "enter namespace", errno: Errno::AGAIN })?;
            handle.join().unwrap_or(Err(Refusal::Socket { act: "enter namespace", errno: Errno::IO }))
        })
    }

    /// The socket's address: notifications carry the address of the socket that caused them.
    #[must_use]
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Sends all `requests` and waits for every acknowledgement. Each request stands alone: those after a refused
    /// one are still carried out.
    ///
    /// # Errors
    /// The first refusal, in the order of the requests.
    pub fn transact(&mut self, mut requests: Vec<Request>) -> Result<(), Refusal> {
        if let [_] = requests.as_slice()
            && let Some(request) = requests.pop()
        {
            return patiently(|| self.transact_once(vec![request.clone()]));
        }
        self.transact_once(requests)
    }

    fn transact_once(&mut self, requests: Vec<Request>) -> Result<(), Refusal> {
        let mut outcome = Ok(());
        let mut requests = requests.into_iter().enumerate().peekable();
        while requests.peek().is_some() {
            let first_sequence = self.sequence.wrapping_add(1);
            let (mut bytes, mut count, mut first_index) = (Vec::new(), 0, 0);
            for (index, request) in requests.by_ref().take(BATCH_MESSAGES) {
                if count == 0 {
                    first_index = index;
                }
                self.sequence = self.sequence.wrapping_add(1);
                bytes.extend_from_slice(&request.seal(self.sequence, nl::ACK));
                count += 1;
            }
            self.send(&bytes)?;
            let answered = self.collect(first_sequence, count, first_index);
            outcome = outcome.and(answered);
        }
        outcome
    }

    /// Sends `requests` as one nf_tables transaction: all of them take effect at once, or none.
    ///
    /// # Errors
    /// The first refusal, in the order of the requests.
    pub fn commit(&mut self, requests: Vec<Request>) -> Result<(), Refusal> {
        if requests.is_empty() {
            return Ok(());
        }
        patiently(|| self.commit_once(requests.clone()))
    }

    fn commit_once(&mut self, requests: Vec<Request>) -> Result<(), Refusal> {
        // struct nfgenmsg with the subsystem as its resource (nfnetlink_rcv_batch).
        let marker = [0, 0, 0, 10];
        let begin = self.next();
        let mut bytes = Request::new(nf::BATCH_BEGIN, 0, &marker).seal(begin, 0);
        let count = u32::try_from(requests.len()).unwrap_or(u32::MAX);
        for (index, request) in (1u32..).zip(requests) {
            let sequence = self.next();
            let flags = if index == count { nl::ACK } else { 0 };
            bytes.extend_from_slice(&request.seal(sequence, flags));
        }
        let end = self.next();
        bytes.extend_from_slice(&Request::new(nf::BATCH_END, 0, &marker).seal(end, 0));
        self.send(&bytes)?;
        let last = begin.wrapping_add(count);
        self.settle(begin, last)
    }

    /// Sends a dump request and hands every message of the answer to `take`.
    ///
    /// # Errors
    /// The kernel's refusal, or what `take` found malformed. A dump that a change interrupted is asked again.
    pub fn dump(
        &mut self,
        request: &Request,
        mut take: impl FnMut(&reply::Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Refusal> {
        let sequence = self.next();
        self.send(&request.clone().seal(sequence, nl::DUMP))?;
        self.drain(sequence, &mut take)
    }

    /// Sends one request whose answer is one message, handed to `take`.
    ///
    /// # Errors
    /// The kernel's refusal, or what `take` found malformed.
    pub fn ask(
        &mut self,
        request: Request,
        mut take: impl FnMut(&reply::Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Refusal> {
        let sequence = self.next();
        self.send(&request.seal(sequence, nl::ACK))?;
        self.drain(sequence, &mut take)
    }

    /// Reads one datagram without waiting; `None` when there is none.
    ///
    /// # Errors
    /// [`Refusal::Socket`], with `ENOBUFS` when notifications were lost.
    pub fn try_receive(&mut self) -> Result<Option<&[u8]>, Refusal> {
        match self.receive(RecvFlags::DONTWAIT) {
            Ok(length) => Ok(Some(&self.buffer[..length])),
            Err(Refusal::Socket { errno: Errno::AGAIN, .. }) => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    fn send(&self, bytes: &[u8]) -> Result<(), Refusal> {
        let failed = |errno| Refusal::Socket { act: "send", errno };
        rustix::io::retry_on_intr(|| net::send(&self.fd, bytes, SendFlags::empty())).map_err(failed)?;
        Ok(())
    }

    fn receive(&mut self, flags: RecvFlags) -> Result<usize, Refusal> {
        self.buffer.resize(RECEIVE_BYTES, 0);
        let buffer = &mut self.buffer[..];
        let (length, _) = rustix::io::retry_on_intr(|| net::recv(&self.fd, &mut *buffer, flags))
            .map_err(|errno| Refusal::Socket { act: "receive", errno })?;
        Ok(length.min(RECEIVE_BYTES))
    }

    /// Collects `count` acknowledgements from sequence number `first` on.
    fn collect(&mut self, first: u32, count: usize, first_index: usize) -> Result<(), Refusal> {
        let mut outcome: Option<(usize, Refusal)> = None;
        let mut answered = 0;
        while answered < count {
            let length = self.receive(RecvFlags::empty())?;
            for message in reply::messages(&self.buffer[..length]) {
                let message = message?;
                let index = message.sequence.wrapping_sub(first) as usize;
                if message.kind != nl::ERROR || index >= count {
                    continue; // A notification, or the answer to a request that was given up.
                }
                answered += 1;
                if let Some(refusal) = refusal(&message, first_index + index)?
                    && outcome.as_ref().is_none_or(|(earlier, _)| index < *earlier)
                {
                    outcome = Some((index, refusal));
                }
            }
        }
        outcome.map_or(Ok(()), |(_, refusal)| Err(refusal))
    }

    /// Waits for the answer to a transaction: the acknowledgement of its last request, or a refusal of its begin.
    fn settle(&mut self, begin: u32, last: u32) -> Result<(), Refusal> {
        let mut outcome = Ok(());
        loop {
            let length = self.receive(RecvFlags::empty())?;
            for message in reply::messages(&self.buffer[..length]) {
                let message = message?;
                let distance = message.sequence.wrapping_sub(begin);
                if message.kind != nl::ERROR || distance > last.wrapping_sub(begin) {
                    continue;
                }
                let refused = refusal(&message, (distance as usize).saturating_sub(1))?;
                outcome = outcome.and(refused.map_or(Ok(()), Err));
                if message.sequence == last || message.sequence == begin {
                    return outcome;
                }
            }
        }
    }

    fn drain(
        &mut self,
        sequence: u32,
        take: &mut impl FnMut(&reply::Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Refusal> {
        loop {
            let length = self.receive(RecvFlags::empty())?;
            for message in reply::messages(&self.buffer[..length]) {
                let message = message?;
                if message.sequence != sequence {
                    continue;
                }
                match message.kind {
                    nl::DONE => return Ok(()),
                    nl::ERROR => return refusal(&message, 0)?.map_or(Ok(()), Err),
                    nl::NOOP | nl::OVERRUN => {}
                    _ => take(&message)?,
                }
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Does `work` again when the kernel says that it is busy with somebody else's change, which passes in milliseconds.
fn patiently(mut work: impl FnMut() -> Result<(), Refusal>) -> Result<(), Refusal> {
    for pause_ms in BUSY_PAUSES_MS {
        match work() {
            Err(refusal) if refusal.is(Errno::BUSY) || refusal.is(Errno::INTR) => {
                std::thread::sleep(Duration::from_millis(pause_ms))
            }
            outcome => return outcome,
        }
    }
    work()
}

fn refusal(message: &reply::Message<'_>, index: usize) -> Result<Option<Refusal>, Malformed> {
    let (errno, words) = reply::acknowledgement(message)?;
    Ok((errno != 0).then(|| Refusal::Kernel { index, errno: Errno::from_raw_os_error(errno), words }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_busy_is_asked_again_and_who_refuses_is_not() {
        let busy = |errno| Err(Refusal::Kernel { index: 0, errno, words: None });
        let mut asked = 0;
        let outcome = patiently(|| {
            asked += 1;
            if asked < 4 { busy(Errno::BUSY) } else { Ok(()) }
        });
        assert_eq!((outcome, asked), (Ok(()), 4));
        asked = 0;
        let outcome = patiently(|| {
            asked += 1;
            busy(Errno::BUSY)
        });
        assert!(outcome.is_err() && asked == 6, "and not for ever");
        asked = 0;
        let outcome = patiently(|| {
            asked += 1;
            busy(Errno::EXIST)
        });
        assert!(outcome.is_err() && asked == 1);
    }
}
