//! The socket by which a machine is asked things: a JSON document a line, answered by one.
//!
//! | request | answer |
//! |---|---|
//! | `{"do": "status"}` | phase, processors' accesses, balloon |
//! | `{"do": "pause"}`, `{"do": "resume"}` | phase |
//! | `{"do": "balloon", "bytes": N}` | the guest is asked to give N bytes back |
//! | `{"do": "snapshot", "directory": D}` | state and memory are in D; the machine stays paused |
//! | `{"do": "stop"}` | the machine ends at once |
//!
//! One client at a time; the next one waits. A client that says nonsense is told so and stays.

use std::{
    io::{Read as _, Write as _},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use rustix::event::epoll;
use serde::{Deserialize, Serialize};

use super::{Machine, Outcome, Phase, build::add, locked};
use crate::{Error, Result, layout};

/// The longest request, in bytes.
const REQUEST_BYTES_MAX: usize = 16 << 10;
const LISTENER: u64 = 0;
const CLIENT: u64 = 1;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How the machine is.
    Status,
    /// Stops its processors.
    Pause,
    /// Lets them run.
    Resume,
    /// Asks the guest to give memory back, or to take it.
    Balloon { bytes: u64 },
    /// Writes state and memory down.
    Snapshot { directory: PathBuf },
    /// Ends it.
    Stop,
}

/// What a machine says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Status {
    /// `running` or `paused`.
    pub phase: String,
    /// Accesses of I/O ports.
    pub port_exits: u64,
    /// Accesses of devices' registers.
    pub register_exits: u64,
    /// Memory that the guest has given to the balloon, in bytes.
    pub balloon_bytes: u64,
    /// Memory that went back to the host, free pages included, in bytes.
    pub returned_bytes: u64,
    /// The snapshot that the machine went on from.
    pub restored: Option<PathBuf>,
}

/// The socket, and whoever has come through it.
pub(super) struct Door {
    listener: UnixListener,
    client: Option<UnixStream>,
    said: Vec<u8>,
    set: OwnedFd,
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

impl Door {
    /// Listens at `path`; what is there of an earlier machine is replaced.
    pub fn open(path: &Path) -> Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file("replace", path)(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(path).map_err(Error::file("listen at", path))?;
        listener.set_nonblocking(true).map_err(Error::file("listen at", path))?;
        let set = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Error::errno("make an event set"))?;
        add(&set, &listener, LISTENER, false)?;
        Ok(Self { listener, client: None, said: Vec::new(), set })
    }

    /// The next request, if one has come whole.
    fn request(&mut self) -> Option<Result<Request, String>> {
        if self.client.is_none() {
            self.admit();
        }
        loop {
            if let Some(end) = self.said.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.said.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).map_err(|error| error.to_string()));
            }
            let mut bytes = [0; 4096];
            match self.client.as_mut()?.read(&mut bytes) {
                Ok(0) => self.dismiss(),
                Ok(count) if self.said.len() + count <= REQUEST_BYTES_MAX => {
                    self.said.extend_from_slice(&bytes[..count])
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                _ => self.dismiss(),
            }
        }
    }

    fn admit(&mut self) {
        let Ok((client, _)) = self.listener.accept() else { return };
        if client.set_nonblocking(true).is_ok() && add(&self.set, &client, CLIENT, false).is_ok() {
            // Those who come meanwhile wait in the kernel.
            let _ = epoll::delete(&self.set, &self.listener);
            self.client = Some(client);
        }
    }

    fn dismiss(&mut self) {
        self.client = None;
        self.said.clear();
        // Without the listener in its set the door stays shut, and the machine runs on.
        let _ = add(&self.set, &self.listener, LISTENER, false);
    }

    fn answer(&mut self, answer: &serde_json::Value) {
        let text = format!("{answer}\n");
        if self.client.as_mut().is_some_and(|client| client.write_all(text.as_bytes()).is_err()) {
            self.dismiss();
        }
    }
}

impl Machine {
    /// Answers what has been asked.
    pub(super) fn serve_control(&mut self) {
        while let Some(request) = self.control.as_mut().and_then(Door::request) {
            let answer = match request.and_then(|request| self.act(request).map_err(|error| error.chain())) {
                Ok(value) => serde_json::json!({ "return": value }),
                Err(text) => serde_json::json!({ "error": text }),
            };
            if let Some(door) = &mut self.control {
                door.answer(&answer);
            }
        }
    }

    fn act(&mut self, request: Request) -> Result<serde_json::Value> {
        match request {
            Request::Status => {}
            Request::Pause => self.pause(),
            Request::Resume => self.resume(),
            Request::Balloon { bytes } => self.ask_for(bytes)?,
            Request::Snapshot { directory } => {
                self.pause();
                self.snapshot(&directory)?;
            }
            Request::Stop => self.end.tell(Outcome::Stopped),
        }
        serde_json::to_value(self.status()).map_err(|error| Error::Config(error.to_string()))
    }

    fn status(&self) -> Status {
        let gauge = self.gauge.as_deref();
        Status {
            phase: if self.phase == Phase::Running { "running" } else { "paused" }.to_owned(),
            port_exits: self.bus.counts.ports.load(Ordering::Relaxed),
            register_exits: self.bus.counts.registers.load(Ordering::Relaxed),
            balloon_bytes: gauge
                .map_or(0, |gauge| u64::from(gauge.actual_pages.load(Ordering::Relaxed)) * layout::PAGE_BYTES),
            returned_bytes: gauge.map_or(0, |gauge| gauge.returned_bytes.load(Ordering::Relaxed)),
            restored: self.restored.clone(),
        }
    }

    /// The balloon is the last device.
    fn ask_for(&self, bytes: u64) -> Result<()> {
        let (Some(gauge), Some(transport)) = (&self.gauge, self.bus.virtio.last()) else {
            return Err(Error::Config("the machine has no balloon".to_owned()));
        };
        if bytes > self.memory_bytes {
            return Err(Error::Config(format!("the machine has {} bytes", self.memory_bytes)));
        }
        let pages = u32::try_from(bytes / layout::PAGE_BYTES).unwrap_or(u32::MAX);
        gauge.target_pages.store(pages, Ordering::Relaxed);
        locked(transport).config_changed();
        Ok(())
    }
}
