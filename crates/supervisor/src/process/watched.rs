//! Descriptors in the epoll set, and what their events mean.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use rustix::event::epoll::{self, EventData, EventFlags};

/// What a readiness event is about. Keys are never used twice, so a late event finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// Somebody connects.
    Listener,
    /// The log takes more.
    Log,
    /// The out-of-memory killer was at work.
    Oom,
    /// The isolation has something to do.
    Isolation,
    /// A task's process has ended.
    Ended(u32),
    /// A task's standard input takes more.
    Stdin(u32),
    /// A task's standard output, or its terminal.
    Stdout(u32),
    /// A task's standard error.
    Stderr(u32),
    /// A client.
    Client(u32),
}

impl Token {
    pub fn pack(self) -> u64 {
        let (kind, key) = match self {
            Self::Listener => (0, 0),
            Self::Log => (1, 0),
            Self::Oom => (2, 0),
            Self::Ended(key) => (3, key),
            Self::Stdin(key) => (4, key),
            Self::Stdout(key) => (5, key),
            Self::Stderr(key) => (6, key),
            Self::Client(key) => (7, key),
            Self::Isolation => (8, 0),
        };
        (kind << 32) | u64::from(key)
    }

    pub fn unpack(packed: u64) -> Self {
        let key = packed as u32;
        match packed >> 32 {
            0 => Self::Listener,
            1 => Self::Log,
            2 => Self::Oom,
            3 => Self::Ended(key),
            4 => Self::Stdin(key),
            5 => Self::Stdout(key),
            6 => Self::Stderr(key),
            8 => Self::Isolation,
            _ => Self::Client(key),
        }
    }
}

/// An epoll set that is shared by what is in it.
pub(super) type Epoll = Rc<OwnedFd>;

/// A descriptor with the readiness it is watched for. Watched for nothing it is not in the set at all: epoll would
/// report a hang-up again and again.
pub(super) struct Watched {
    epoll: Epoll,
    descriptor: OwnedFd,
    token: Token,
    /// `None` while it is not in the set.
    interest: Option<EventFlags>,
}

impl Watched {
    pub fn new(epoll: &Epoll, descriptor: OwnedFd, token: Token) -> Self {
        Self { epoll: Rc::clone(epoll), descriptor, token, interest: None }
    }

    /// Changes what it is watched for; costs nothing when it is so already.
    pub fn set(&mut self, readable: bool, writable: bool) -> rustix::io::Result<()> {
        let mut wanted = EventFlags::empty();
        wanted.set(EventFlags::IN, readable);
        wanted.set(EventFlags::OUT, writable);
        self.change(Some(wanted).filter(|wanted| !wanted.is_empty()))
    }

    /// Watches it for nothing but the end of both its directions, which then has to be acted on.
    pub fn await_hang_up(&mut self) -> rustix::io::Result<()> {
        self.change(Some(EventFlags::empty()))
    }

    fn change(&mut self, wanted: Option<EventFlags>) -> rustix::io::Result<()> {
        if wanted == self.interest {
            return Ok(());
        }
        let data = EventData::new_u64(self.token.pack());
        match (self.interest, wanted) {
            (_, None) => epoll::delete(&*self.epoll, &self.descriptor)?,
            (None, Some(wanted)) => epoll::add(&*self.epoll, &self.descriptor, data, wanted)?,
            (Some(_), Some(wanted)) => epoll::modify(&*self.epoll, &self.descriptor, data, wanted)?,
        }
        self.interest = wanted;
        Ok(())
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Watched {
    /// A child between clone and exec may hold a copy, so closing alone would not take it out of the set.
    fn drop(&mut self) {
        let _ = self.set(false, false);
    }
}
