//! Many streams over one: messages, and the bytes of processes' standard streams, with a window for each stream.
//!
//! ```text
//! source (a descriptor that is read) ─► Data frames, as far as the window goes ─► ‖ ─► sink (a descriptor written)
//!                                       ◄─────────── Credit as the sink takes ───── ‖
//! ```
//!
//! A sink that takes nothing therefore stops its own source and nobody else. Both ends of the channel are this type;
//! one thread turns it, and [`Mux::descriptor`] tells when there is something to turn.

use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    fs::OFlags,
    io::Errno,
};
use serde::Serialize;

use crate::frame::{self, HEAD_BYTES, Kind};

/// How much of a stream may be under way, in bytes.
pub const WINDOW_BYTES: usize = 256 << 10;
/// How much may wait to be written before sources rest.
const OUTBOX_BYTES: usize = 512 << 10;
/// Messages that nobody has taken; a peer that floods is cut off.
const MESSAGES_MAX: usize = 4096;
const READ_BYTES: usize = 64 << 10;
/// Descriptors of the owner's in the set: their tokens have this bit.
const OWNER: u64 = 1 << 40;
const CHANNEL: u64 = 1 << 41;
const SINK: u64 = 1 << 42;

/// Why a channel is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The other side is gone.
    #[error("the other side has closed the channel")]
    Closed,
    /// A system call failed.
    #[error("the channel failed: {0}")]
    System(#[from] Errno),
    /// Not a frame.
    #[error(transparent)]
    Frame(#[from] frame::Bad),
    /// Too many messages, or more data than the window.
    #[error("the other side sends {0} than allowed")]
    Flood(&'static str),
}

#[derive(Debug)]
struct Source {
    fd: Option<OwnedFd>,
    /// Bytes that may still be sent.
    credit: usize,
    watched: bool,
    /// A terminal's end is an error that may pass.
    terminal: bool,
    resting: bool,
}

#[derive(Debug)]
struct Sink {
    fd: Option<OwnedFd>,
    pending: VecDeque<u8>,
    /// Taken but not yet credited.
    owed: usize,
    ending: bool,
    watched: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Mux {
    channel: OwnedFd,
    set: OwnedFd,
    inbox: Vec<u8>,
    outbox: VecDeque<u8>,
    channel_out: bool,
    sources: BTreeMap<u32, Source>,
    sinks: BTreeMap<u32, Sink>,
    messages: VecDeque<Vec<u8>>,
    owner_ready: Vec<u64>,
}

impl Mux {
    /// A multiplexer over a stream socket, pipe or port.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn new(channel: OwnedFd) -> Result<Self, Errno> {
        set_nonblocking(channel.as_fd())?;
        let set = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&set, &channel, EventData::new_u64(CHANNEL), EventFlags::IN)?;
        Ok(Self {
            channel,
            set,
            inbox: Vec::new(),
            outbox: VecDeque::new(),
            channel_out: false,
            sources: BTreeMap::new(),
            sinks: BTreeMap::new(),
            messages: VecDeque::new(),
            owner_ready: Vec::new(),
        })
    }

    /// Readable when [`turn`](Self::turn) has something to do.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }

    /// Watches a descriptor of the owner's; [`ready`](Self::ready) tells `token` when it is readable.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn watch(&mut self, descriptor: BorrowedFd<'_>, token: u32) -> Result<(), Errno> {
        epoll::add(&self.set, descriptor, EventData::new_u64(OWNER | u64::from(token)), EventFlags::IN)
    }

    /// Ends a [`watch`](Self::watch).
    pub fn unwatch(&mut self, descriptor: BorrowedFd<'_>) {
        let _ = epoll::delete(&self.set, descriptor);
    }

    /// Tokens of the owner's descriptors that were readable in the last turn.
    pub fn ready(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.owner_ready).into_iter().map(|token| token as u32).collect()
    }

    /// Sends what can be read from `descriptor` as `stream`, until its end.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn add_source(&mut self, stream: u32, descriptor: OwnedFd, terminal: bool) -> Result<(), Errno> {
        set_nonblocking(descriptor.as_fd())?;
        let source = Source { fd: Some(descriptor), credit: WINDOW_BYTES, watched: false, terminal, resting: false };
        self.sources.insert(stream, source);
        self.settle()
    }

    /// Writes what comes as `stream` to `descriptor`, and closes it at the stream's end.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn add_sink(&mut self, stream: u32, descriptor: OwnedFd) -> Result<(), Errno> {
        set_nonblocking(descriptor.as_fd())?;
        let sink = Sink { fd: Some(descriptor), pending: VecDeque::new(), owed: 0, ending: false, watched: false };
        self.sinks.insert(stream, sink);
        Ok(())
    }

    /// Whether a source has more to send, or was not read to its end.
    #[must_use]
    pub fn has_source(&self, stream: u32) -> bool {
        self.sources.contains_key(&stream)
    }

    /// Whether a sink still has to write something.
    #[must_use]
    pub fn is_writing(&self, stream: u32) -> bool {
        self.sinks.get(&stream).is_some_and(|sink| !sink.pending.is_empty())
    }

    /// Whether everything was given to the channel.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Ends a source: what was read is sent, and the stream's end.
    pub fn end_source(&mut self, stream: u32) {
        if let Some(source) = self.sources.remove(&stream) {
            if let (Some(fd), true) = (&source.fd, source.watched) {
                let _ = epoll::delete(&self.set, fd);
            }
            self.put(Kind::End, stream, &[]);
        }
    }

    /// Reads a source as far as its window goes; for those whose process has ended. Whether anything came.
    pub fn drain_source(&mut self, stream: u32) -> bool {
        let before = self.outbox.len();
        self.read_source(stream);
        self.outbox.len() > before && self.has_source(stream)
    }

    /// Sources that rested are looked at again.
    pub fn wake(&mut self) {
        for source in self.sources.values_mut() {
            source.resting = false;
        }
    }

    /// Whether a source rests.
    #[must_use]
    pub fn rests(&self) -> bool {
        self.sources.values().any(|source| source.resting)
    }

    /// Forgets a sink, closing its descriptor.
    pub fn end_sink(&mut self, stream: u32) {
        if let Some(sink) = self.sinks.remove(&stream)
            && let (Some(fd), true) = (&sink.fd, sink.watched)
        {
            let _ = epoll::delete(&self.set, fd);
        }
    }

    /// Queues a message.
    pub fn send(&mut self, message: &impl Serialize) {
        // These types have string keys only, so writing them to memory does not fail.
        let text = serde_json::to_vec(message).unwrap_or_default();
        self.put(Kind::Message, 0, &text);
    }

    /// The oldest message that came.
    pub fn message(&mut self) -> Option<Vec<u8>> {
        self.messages.pop_front()
    }

    /// Does what there is to do, waiting at most `timeout` for it.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn turn(&mut self, timeout: Option<Duration>) -> Result<(), Broken> {
        self.flush()?;
        self.settle()?;
        let timeout =
            timeout.map(|time| Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() });
        let mut events = Vec::with_capacity(32);
        match epoll::wait(&self.set, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        for event in events {
            let (token, flags) = (event.data.u64(), event.flags);
            if token & OWNER != 0 {
                self.owner_ready.push(token & 0xffff_ffff);
            } else if token & CHANNEL != 0 {
                if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                    self.receive()?;
                }
            } else if token & SINK != 0 {
                self.write_sink((token & 0xffff_ffff) as u32);
            } else {
                self.read_source(token as u32);
            }
        }
        self.flush()?;
        self.settle()?;
        Ok(())
    }

    fn put(&mut self, kind: Kind, stream: u32, payload: &[u8]) {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + payload.len());
        frame::put(&mut bytes, kind, stream, payload);
        self.outbox.extend(bytes);
    }

    fn read_source(&mut self, stream: u32) {
        let Some(source) = self.sources.get_mut(&stream) else { return };
        let Some(fd) = &source.fd else { return };
        let mut buffer = vec![0; READ_BYTES.min(source.credit)];
        if buffer.is_empty() {
            return;
        }
        match rustix::io::read(fd, &mut buffer[..]) {
            Ok(len) if len > 0 => {
                source.credit -= len;
                self.put(Kind::Data, stream, &buffer[..len]);
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            // Nobody has the terminal open just now.
            Err(Errno::IO) if source.terminal => source.resting = true,
            _ => self.end_source(stream),
        }
    }

    fn receive(&mut self) -> Result<(), Broken> {
        let mut buffer = vec![0; READ_BYTES];
        match rustix::io::read(&self.channel, &mut buffer[..]) {
            Ok(0) => return Err(Broken::Closed),
            Ok(len) => self.inbox.extend_from_slice(&buffer[..len]),
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
        let inbox = std::mem::take(&mut self.inbox);
        let mut at = 0;
        while let Some(head) = frame::head(&inbox[at..])? {
            let body = at + HEAD_BYTES;
            let Some(payload) = inbox.get(body..body + head.len) else { break };
            self.accept(head.kind, head.stream, payload)?;
            at = body + head.len;
        }
        self.inbox = inbox;
        self.inbox.drain(..at);
        Ok(())
    }

    fn accept(&mut self, kind: Kind, stream: u32, payload: &[u8]) -> Result<(), Broken> {
        match kind {
            Kind::Message if self.messages.len() >= MESSAGES_MAX => return Err(Broken::Flood("more messages")),
            Kind::Message => self.messages.push_back(payload.to_vec()),
            Kind::Data => {
                // A stream that is gone takes nothing, and owes nothing.
                let Some(sink) = self.sinks.get_mut(&stream) else { return Ok(()) };
                if sink.pending.len() + payload.len() > WINDOW_BYTES {
                    return Err(Broken::Flood("more data"));
                }
                sink.pending.extend(payload);
                self.write_sink(stream);
            }
            Kind::End => {
                if let Some(sink) = self.sinks.get_mut(&stream) {
                    sink.ending = true;
                    self.write_sink(stream);
                }
            }
            Kind::Credit => {
                let more = payload.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
                if let Some(source) = self.sources.get_mut(&stream) {
                    source.credit = (source.credit + more).min(WINDOW_BYTES);
                }
            }
        }
        Ok(())
    }

    fn write_sink(&mut self, stream: u32) {
        let Some(sink) = self.sinks.get_mut(&stream) else { return };
        while !sink.pending.is_empty() {
            let Some(fd) = &sink.fd else {
                sink.owed += sink.pending.len();
                sink.pending.clear();
                break;
            };
            let (front, _) = sink.pending.as_slices();
            match rustix::io::write(fd, front) {
                Ok(len) => {
                    sink.pending.drain(..len);
                    sink.owed += len;
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                // Nobody will read it any more; what still comes is thrown away.
                Err(_) => {
                    if sink.watched {
                        let _ = epoll::delete(&self.set, fd);
                        sink.watched = false;
                    }
                    sink.fd = None;
                }
            }
        }
        let (owed, done) = (std::mem::take(&mut sink.owed), sink.ending && sink.pending.is_empty());
        if owed > 0 {
            self.put(Kind::Credit, stream, &(owed as u32).to_le_bytes());
        }
        if done {
            self.end_sink(stream);
        }
    }

    fn flush(&mut self) -> Result<(), Broken> {
        while !self.outbox.is_empty() {
            let (front, _) = self.outbox.as_slices();
            match rustix::io::write(&self.channel, front) {
                Ok(len) => drop(self.outbox.drain(..len)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(Broken::Closed),
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Watches each descriptor for what is wanted of it now.
    fn settle(&mut self) -> Result<(), Errno> {
        let full = self.outbox.len() > OUTBOX_BYTES;
        let mut unwatchable = Vec::new();
        for (stream, source) in &mut self.sources {
            let Some(fd) = &source.fd else { continue };
            let wanted = source.credit > 0 && !full && !source.resting;
            if wanted == source.watched {
                continue;
            }
            match set_watch(&self.set, fd, u64::from(*stream), EventFlags::IN, wanted) {
                Ok(()) => source.watched = wanted,
                // A file, or /dev/null: it is always ready.
                Err(Errno::PERM) => unwatchable.push(*stream),
                Err(errno) => return Err(errno),
            }
        }
        for (stream, sink) in &mut self.sinks {
            let Some(fd) = &sink.fd else { continue };
            let wanted = !sink.pending.is_empty();
            if wanted != sink.watched {
                set_watch(&self.set, fd, SINK | u64::from(*stream), EventFlags::OUT, wanted)?;
                sink.watched = wanted;
            }
        }
        let wanted = !self.outbox.is_empty();
        if wanted != self.channel_out {
            let flags = if wanted { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(&self.set, &self.channel, EventData::new_u64(CHANNEL), flags)?;
            self.channel_out = wanted;
        }
        for stream in unwatchable {
            while self.drain_source(stream) && self.outbox.len() <= OUTBOX_BYTES {}
        }
        Ok(())
    }
}

fn set_watch(set: &OwnedFd, fd: &OwnedFd, token: u64, flags: EventFlags, wanted: bool) -> Result<(), Errno> {
    if wanted { epoll::add(set, fd, EventData::new_u64(token), flags) } else { epoll::delete(set, fd) }
}

fn set_nonblocking(descriptor: BorrowedFd<'_>) -> Result<(), Errno> {
    let flags = rustix::fs::fcntl_getfl(descriptor)?;
    rustix::fs::fcntl_setfl(descriptor, flags | OFlags::NONBLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    const TICK: Option<Duration> = Some(Duration::from_millis(10));

    fn pair() -> (Mux, Mux) {
        let (near, far) = std::os::unix::net::UnixStream::pair().expect("pair");
        (Mux::new(near.into()).expect("mux"), Mux::new(far.into()).expect("mux"))
    }

    fn pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
        std::io::pipe().expect("pipe")
    }

    #[test]
    fn bytes_and_ends_arrive() {
        let (mut near, mut far) = pair();
        let ((from, mut feed), (mut out, to)) = (pipe(), pipe());
        far.add_sink(5, to.into()).expect("sink");
        near.add_source(5, from.into(), false).expect("source");
        feed.write_all(b"hello").expect("write");
        drop(feed);
        for _ in 0..10 {
            near.turn(TICK).expect("near");
            far.turn(TICK).expect("far");
        }
        let mut text = String::new();
        out.read_to_string(&mut text).expect("the pipe has ended");
        assert_eq!(text, "hello");
        assert!(!near.has_source(5));
    }

    #[test]
    fn a_sink_that_takes_nothing_stops_its_own_source_only() {
        let (mut near, mut far) = pair();
        let ((stuck_from, mut stuck_feed), (stuck_out, stuck_to)) = (pipe(), pipe());
        let ((from, mut feed), (mut out, to)) = (pipe(), pipe());
        for (stream, sink) in [(1, stuck_to), (2, to)] {
            far.add_sink(stream, sink.into()).expect("sink");
        }
        for (stream, source) in [(1, stuck_from), (2, from)] {
            near.add_source(stream, source.into(), false).expect("source");
        }
        let feeder = std::thread::spawn(move || {
            let mut sent = 0;
            while stuck_feed.write_all(&[7; 4096]).is_ok() {
                sent += 4096;
            }
            sent
        });
        for _ in 0..200 {
            near.turn(Some(Duration::from_millis(1))).expect("near");
            far.turn(Some(Duration::from_millis(1))).expect("far");
        }
        feed.write_all(b"through").expect("write");
        for _ in 0..10 {
            near.turn(TICK).expect("near");
            far.turn(TICK).expect("far");
        }
        let mut text = [0; 7];
        out.read_exact(&mut text).expect("read");
        assert_eq!(&text, b"through");
        assert!(far.is_writing(1));
        drop((stuck_out, near, far));
        assert!(feeder.join().expect("feeder") < 2 << 20, "the window bounds what is under way");
    }

    #[test]
    fn a_peer_that_floods_or_babbles_is_cut_off() {
        let (near, far) = std::os::unix::net::UnixStream::pair().expect("pair");
        let mut mux = Mux::new(far.into()).expect("mux");
        (&near).write_all(&[9; 16]).expect("write");
        assert!(matches!(mux.turn(TICK), Err(Broken::Frame(frame::Bad::Kind(9)))));
        let (near, far) = std::os::unix::net::UnixStream::pair().expect("pair");
        let mut mux = Mux::new(far.into()).expect("mux");
        let (_out, to) = pipe();
        mux.add_sink(1, to.into()).expect("sink");
        let mut wire = Vec::new();
        frame::put(&mut wire, Kind::Data, 1, &vec![0; WINDOW_BYTES + (128 << 10)]);
        let writer = std::thread::spawn(move || (&near).write_all(&wire));
        let outcome = (0..100).find_map(|_| mux.turn(TICK).err());
        assert!(matches!(outcome, Some(Broken::Flood("more data"))), "{outcome:?}");
        drop(mux);
        let _ = writer.join();
    }

    #[test]
    fn files_that_cannot_be_watched_are_read_at_once() {
        let (mut near, mut far) = pair();
        let null = std::fs::File::open("/dev/null").expect("null");
        near.add_source(3, null.into(), false).expect("source");
        assert!(!near.has_source(3), "it ended at once");
        near.send(&"word");
        near.turn(TICK).expect("near");
        far.turn(TICK).expect("far");
        assert_eq!(far.message().as_deref(), Some(&b"\"word\""[..]));
    }
}
