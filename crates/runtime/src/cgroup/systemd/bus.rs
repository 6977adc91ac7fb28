//! A connection to systemd's manager: its private socket, where the one who is root speaks to it directly, or the system
//! bus (D-Bus specification, "Authentication Protocol" and "Message Bus").

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::message::{self, HEAD_LEN, Message, Target, Writer, kind};

/// Where the manager is asked.
const MANAGER: Target = Target {
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};
const DAEMON: Target =
    Target { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };
/// The manager's own socket, and the bus.
const PRIVATE: &str = "/run/systemd/private";
const SYSTEM: &str = "/run/dbus/system_bus_socket";
/// An answer, or the end of a job, is waited for so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Messages that are passed over while one is waited for.
const OTHERS_MAX: usize = 10_000;

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The connection is broken, or nobody answers.
    Io(io::Error),
    /// The manager says no: the error's name, and its words.
    Said(String, String),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A connection on which calls are made one after the other.
#[derive(Debug)]
pub(super) struct Bus {
    stream: BufReader<UnixStream>,
    serial: u32,
    /// Signals that came while something else was waited for.
    signals: Vec<Message>,
}

impl Bus {
    /// Connects to this machine's manager, and asks to be told of jobs.
    pub(super) fn open() -> Result<Self, Refusal> {
        let mut last = None;
        for (path, is_direct) in [(PRIVATE, true), (SYSTEM, false)] {
            match Self::connect(Path::new(path), is_direct) {
                Ok(bus) => return Ok(bus),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::from(io::ErrorKind::NotFound).into()))
    }

    /// As [`Bus::open`], at any socket.
    pub(super) fn connect(path: &Path, is_direct: bool) -> Result<Self, Refusal> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut bus = Self { stream: BufReader::new(stream), serial: 0, signals: Vec::new() };
        bus.authenticate()?;
        if !is_direct {
            bus.call(&DAEMON, "Hello", "", &Writer::default())?;
            let mut rule = Writer::default();
            rule.text("type='signal',interface='org.freedesktop.systemd1.Manager',member='JobRemoved'");
            bus.call(&DAEMON, "AddMatch", "s", &rule)?;
        }
        bus.ask("Subscribe", "", &Writer::default())?;
        Ok(bus)
    }

    /// `EXTERNAL`: the kernel says who this is.
    fn authenticate(&mut self) -> io::Result<()> {
        let uid: String = rustix::process::geteuid().as_raw().to_string().bytes().map(|b| format!("{b:02x}")).collect();
        self.stream.get_mut().write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes())?;
        let mut line = String::new();
        (&mut self.stream).take(1024).read_line(&mut line)?;
        if !line.starts_with("OK ") {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("systemd says {:?}", line.trim())));
        }
        self.stream.get_mut().write_all(b"BEGIN\r\n")
    }

    /// Calls the manager.
    pub(super) fn ask(&mut self, member: &str, signature: &str, body: &Writer) -> Result<Message, Refusal> {
        self.call(&MANAGER, member, signature, body)
    }

    fn call(&mut self, target: &Target, member: &str, signature: &str, body: &Writer) -> Result<Message, Refusal> {
        self.serial += 1;
        let bytes = message::call(self.serial, target, member, signature, &body.0);
        self.stream.get_mut().write_all(&bytes)?;
        for _ in 0..OTHERS_MAX {
            let message = self.receive()?;
            match message.kind {
                kind::RETURN if message.answers == self.serial => return Ok(message),
                kind::ERROR if message.answers == self.serial => {
                    return Err(Refusal::Said(message.error, message.words.into_iter().next().unwrap_or_default()));
                }
                kind::SIGNAL => self.signals.push(message),
                _ => {}
            }
        }
        Err(io::Error::from(io::ErrorKind::TimedOut).into())
    }

    /// Waits for the end of a job (`JobRemoved`: id, job, unit, result); its result, such as `done`.
    pub(super) fn job_result(&mut self, job: &str) -> Result<String, Refusal> {
        let end = Instant::now() + PATIENCE;
        let mut kept = std::mem::take(&mut self.signals).into_iter();
        while Instant::now() < end {
            let message = match kept.next() {
                Some(message) => message,
                None => self.receive()?,
            };
            if message.member == "JobRemoved"
                && let [_, ended, _, result, ..] = message.words.as_slice()
                && ended == job
            {
                return Ok(result.clone());
            }
        }
        Err(io::Error::from(io::ErrorKind::TimedOut).into())
    }

    fn receive(&mut self) -> io::Result<Message> {
        let mut bytes = vec![0; HEAD_LEN];
        self.stream.read_exact(&mut bytes)?;
        let head = bytes.first_chunk::<HEAD_LEN>().expect("as many were read");
        bytes.resize(message::length(head)?, 0);
        self.stream.read_exact(&mut bytes[HEAD_LEN..])?;
        message::parse(&bytes)
    }
}
