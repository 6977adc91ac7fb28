//! Ports of the host that the kernel cannot lead to a container: `[::]:port` for networks without IPv6, and `[::1]:port`
//! for those with.
//!
//! ```text
//! mod.rs     the daemon's side: which relays there are, and the process that carries them
//! binder.rs  where the sockets are made that listen
//! wire.rs    what the two say to each other
//! serve.rs   the process `berth relay`, which outlives the daemon
//! tcp.rs udp.rs   connections and datagrams, carried
//! ```
//!
//! The kernel cannot rewrite an IPv6 destination to an IPv4 one, and drops what comes to `::1` from another link, so what
//! comes there to a published port (`localhost` often means `::1` first) is accepted by a process of its own and carried
//! on. The first relay starts it, and it ends when the last one has gone; a daemon that starts finds it by its socket.

mod binder;
mod serve;
mod tcp;
mod udp;
mod wire;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

pub use binder::Binder;
pub use serve::{hold, main};
use wire::{Relay, Word};

use crate::port::{Protocol, PublishedPort};

/// How long the process may take to begin.
const BEGIN: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(2);

/// How the process is started, and where it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayProcess {
    /// The program whose `relay` it is.
    pub exe: PathBuf,
    /// Directory of its socket.
    pub dir: PathBuf,
    /// It stands between two networks, the machine's and that of an engine without root (`berth rootless`): every port is
    /// its work, and this engine cannot start it.
    pub is_between: bool,
}

/// The relays that there are, by the port they stand for.
#[derive(Debug)]
pub(crate) struct Relays {
    process: Option<RelayProcess>,
    known: Arc<Mutex<HashMap<PublishedPort, Relay>>>,
    /// Held while the process is started.
    start: Mutex<()>,
}

impl Relays {
    /// Without a process there are no relays.
    pub fn new(process: Option<RelayProcess>) -> Self {
        Self { process, known: Arc::default(), start: Mutex::new(()) }
    }

    /// Whether every port is carried, because the machine's network is not the engine's.
    pub fn carry_all(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.is_between)
    }

    /// Takes what comes to an address of the host for a port to `target`. One that is there already stays. Blocks.
    ///
    /// # Errors
    /// Why it cannot be: most likely the address is in use.
    pub fn open(&self, port: &PublishedPort, at: IpAddr, target: SocketAddr) -> std::io::Result<()> {
        if port.protocol == Protocol::Sctp {
            return Err(std::io::Error::new(std::io::ErrorKind::Unsupported, "SCTP is not carried"));
        }
        let relay = Relay { protocol: port.protocol, at: SocketAddr::new(at, port.host_port), target };
        match self.say(&Word::Open(relay.clone()), true) {
            Ok(()) => {
                self.known().insert(*port, relay);
                Ok(())
            }
            Err(error) => {
                tracing::debug!(%error, port = port.host_port, "no relay");
                Err(error)
            }
        }
    }

    /// Stops taking new connections; those that are open go on until their container ends. Blocks for a moment.
    pub fn close(&self, port: &PublishedPort) {
        let Some(relay) = self.known().remove(port) else { return };
        if let Err(error) = self.say(&Word::Close(relay), false) {
            tracing::debug!(%error, port = port.host_port, "a relay that is gone already");
        }
    }

    /// After a crash: closes those that nobody knows. Blocks for a moment.
    pub fn keep_known(&self) {
        let known = self.known().values().cloned().collect();
        // None may run.
        let _ = self.say(&Word::Keep(known), false);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<PublishedPort, Relay>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Speaks to the process; one that does not run is started with all relays that there should be, when `start` is set.
    fn say(&self, word: &Word, start: bool) -> std::io::Result<()> {
        let Some(process) = &self.process else { return Err(std::io::ErrorKind::Unsupported.into()) };
        match wire::say(&process.dir, word) {
            Err(error) if process.is_between && wire::is_absence(&error) => {
                let text = "the process that holds this engine's network is gone; stop the engine and start it again";
                return Err(std::io::Error::new(std::io::ErrorKind::NotConnected, text));
            }
            Err(error) if start && wire::is_absence(&error) => {}
            outcome => return outcome,
        }
        let _turn = self.start.lock().unwrap_or_else(PoisonError::into_inner);
        match wire::say(&process.dir, word) {
            Err(error) if wire::is_absence(&error) => {}
            outcome => return outcome,
        }
        spawn(process)?;
        let begun = Instant::now();
        let known = || Word::All(self.known().values().cloned().collect());
        loop {
            match wire::say(&process.dir, &known()) {
                Err(error) if wire::is_absence(&error) && begun.elapsed() < BEGIN => std::thread::sleep(PAUSE),
                Err(error) => return Err(error),
                Ok(()) => return wire::say(&process.dir, word),
            }
        }
    }
}

/// Starts the process, which frees itself of the daemon. Whoever waits for it is a thread, since it must be buried.
fn spawn(process: &RelayProcess) -> std::io::Result<()> {
    use std::os::unix::{fs::DirBuilderExt as _, process::CommandExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&process.dir)?;
    let log = std::fs::File::create(process.dir.join("log"))?;
    let mut command = Command::new(&process.exe);
    command.arg0("berth").arg("relay").arg(&process.dir).env_clear();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn()?;
    let bury = move || {
        if let Ok(status) = child.wait()
            && !status.success()
        {
            tracing::warn!(%status, "the process that carries IPv6 to published ports ended; the next port starts it again");
        }
    };
    std::thread::Builder::new().name("berth-relay".to_owned()).stack_size(64 << 10).spawn(bury).map(drop)
}
