//! The talk between the process that makes a container and the container's init, over one socket pair.
//!
//! ```text
//!   maker                              init
//!     ├── Maps ─────────────────────────► becomes root, makes proc, sysfs, ...
//!     ├── Mounts (descriptors) ─────────► attaches everything
//!     ◄──── Mounted, when there are hooks ┤
//!     ├── Control (cgroup directories) ─► makes its cgroup namespace, and attaches them
//!     ├── State, when it is wanted ─────► runs hooks of its own
//!     ◄──────────────── Ready (terminal) ┤ waits at the gate
//!     ├── Go ───────────────────────────► drops its rights, execve
//!     ◄──── end of file, or Failed ──────┘
//! ```
//! A `Failed` may come instead of anything init sends. Init ends when the maker is gone, unless a [latch](crate::latch)
//! holds it from `Ready` on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use berth_kit::crash;
use berth_sys::message;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Failure, Result};

/// The largest message, in bytes.
const MAX_MESSAGE: usize = 16 * 1024;

/// What the maker sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The id maps are written.
    Maps = 1,
    /// Some prepared mounts; more follow.
    Mounts = 2,
    /// The last of the prepared mounts.
    LastMounts = 3,
    /// The directories of its control groups.
    Control = 4,
    /// Execute the program.
    Go = 5,
    /// The container's state, for hooks and listeners.
    State = 6,
}

/// What init sends.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// All mounts are attached, and hooks of the maker's may run.
    Mounted,
    /// All is prepared; with the terminal's master when there is a terminal.
    Ready {
        /// The user inside the container.
        uid: u32,
        /// The group inside the container.
        gid: u32,
        /// What did not go as asked, but need not stop the container.
        warnings: Vec<String>,
    },
    /// A step failed; init ends.
    Failed(Failure),
}

/// The maker's end.
#[derive(Debug)]
pub(crate) struct Gate(OwnedFd);

/// Init's end.
#[derive(Debug)]
pub(crate) struct Inside(OwnedFd);

/// Both ends.
pub(crate) fn pair() -> Result<(Gate, Inside)> {
    let (outside, inside) = message::pair().map_err(Error::process("make a socket pair"))?;
    Ok((Gate(outside), Inside(inside)))
}

impl Gate {
    /// Gives an order with some text and descriptors. Init's own failure, when it sent one, explains a broken socket.
    pub(crate) fn order(&self, order: Order, text: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        let mut bytes = Vec::with_capacity(1 + text.len());
        bytes.push(order as u8);
        bytes.extend_from_slice(text);
        match message::send(self.0.as_fd(), &bytes, descriptors) {
            Ok(()) => Ok(()),
            Err(errno) => match self.report("start") {
                Err(error @ Error::Init(_)) => Err(error),
                _ => Err(Error::process("give an order to the container's init")(errno)),
            },
        }
    }

    /// Waits for init's next word; `InitGone` at the end of file.
    pub(crate) fn report(&self, step: &'static str) -> Result<(Report, Option<OwnedFd>)> {
        let mut buffer = vec![0u8; MAX_MESSAGE];
        let received =
            message::receive(self.0.as_fd(), &mut buffer).map_err(Error::process("hear from the container's init"))?;
        if received.bytes == 0 {
            return Err(Error::InitGone { step });
        }
        match serde_json::from_slice(&buffer[..received.bytes]) {
            Ok(Report::Failed(failure)) => Err(Error::Init(failure)),
            Ok(report) => Ok((report, received.descriptors.into_iter().next())),
            Err(source) => Err(Error::ParseBundle { path: "the report of the container's init".into(), source }),
        }
    }

    /// Waits until the program runs: the socket closes on a successful `execve`.
    pub(crate) fn executed(&self) -> Result<()> {
        match self.report("exec") {
            Err(Error::InitGone { .. }) => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(Error::InitGone { step: "exec" }),
        }
    }
}

impl Inside {
    /// Waits for an order; ends the process when the maker is gone.
    pub(crate) fn wait(&self, wanted: Order) -> std::result::Result<(Vec<u8>, Vec<OwnedFd>), Failure> {
        let (order, text, descriptors) = self.next()?;
        crash::point("init");
        if order != wanted as u8 {
            let message = format!("order {order} came where {wanted:?} was expected");
            return Err(Failure::own("gate", berth_sys::Errno::PROTO, message));
        }
        Ok((text, descriptors))
    }

    /// All prepared mounts, however many messages they take.
    pub(crate) fn mounts(&self) -> std::result::Result<Vec<OwnedFd>, Failure> {
        let mut all = Vec::new();
        loop {
            let (order, _, mut descriptors) = self.next()?;
            all.append(&mut descriptors);
            if order != Order::Mounts as u8 {
                crash::point("init");
                return Ok(all);
            }
        }
    }

    fn next(&self) -> std::result::Result<(u8, Vec<u8>, Vec<OwnedFd>), Failure> {
        let mut buffer = vec![0u8; MAX_MESSAGE];
        let received = message::receive(self.0.as_fd(), &mut buffer)
            .map_err(|errno| Failure::kernel("gate", "cannot hear the engine", errno))?;
        if received.bytes == 0 {
            berth_sys::process::exit_now(1);
        }
        buffer.truncate(received.bytes);
        Ok((buffer[0], buffer.split_off(1), received.descriptors))
    }

    /// Sends a report, with a terminal's master. A maker that is gone is noticed at the next order.
    pub(crate) fn tell(&self, report: &Report, terminal: Option<&OwnedFd>) {
        let text = serde_json::to_vec(report).unwrap_or_default();
        let descriptors: Vec<BorrowedFd<'_>> = terminal.iter().map(|fd| fd.as_fd()).collect();
        crash::point("init");
        let _ = message::send(self.0.as_fd(), &text, &descriptors);
        crash::point("init");
    }
}
