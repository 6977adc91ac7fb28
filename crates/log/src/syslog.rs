//! `syslog`: RFC 3164 and RFC 5424 messages over Unix sockets, UDP and TCP.

use std::{
    collections::VecDeque,
    io::{self, Write},
    net::{TcpStream, ToSocketAddrs, UdpSocket},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::{UnixDatagram, UnixStream},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

use crate::{ContainerTags, Entry, Error, LogConfig, LogDriver, Result, Stream, tag::Selection};

/// Local sockets, in the order in which they are tried.
const LOCAL: &[&str] = &["/dev/log", "/var/run/syslog", "/var/run/log"];
const PORT: u16 = 514;
/// Bytes kept for a peer that takes none, before entries are lost.
const BACKLOG_BYTES: usize = 1 << 20;
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
const RETRY_AFTER: Duration = Duration::from_secs(1);
const FACILITIES: &[&str] = &[
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "", "", "",
    "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// `<pri>Jan  2 15:04:05 tag[pid]: text`, what local daemons expect.
    Unix,
    /// The same with the host's name.
    Rfc3164,
    /// Times in seconds.
    Rfc5424,
    /// Times in microseconds.
    Rfc5424Micro,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Local,
    Unix(String),
    UnixDatagram(String),
    Udp(String),
    Tcp(String),
}

enum Socket {
    Datagram(UnixDatagram),
    Unix(UnixStream),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// What the options say.
struct Settings {
    address: Address,
    facility: u8,
    format: Format,
}

/// Sends entries, keeping up to a mebibyte for a slow or absent peer.
pub(crate) struct Syslog {
    settings: Settings,
    socket: Option<Socket>,
    tried: Instant,
    tag: String,
    host: String,
    pid: u32,
    zone: jiff::tz::TimeZone,
    /// Messages not sent yet; the first may be sent in part.
    queue: VecDeque<Vec<u8>>,
    queued_bytes: usize,
    sent_of_first: usize,
    lost: Option<io::Error>,
}

/// Checks the options.
///
/// # Errors
/// [`Error::BadOption`].
pub(crate) fn check(config: &LogConfig) -> Result<()> {
    settings(config).map(|_| ())
}

fn settings(config: &LogConfig) -> Result<Settings> {
    let option = |name: &str| config.options.get(name).map_or("", String::as_str);
    if let Some((name, value)) = config.options.iter().find(|(name, _)| name.starts_with("syslog-tls-")) {
        return Err(Error::bad_option(name, value, "TLS to syslog is not built yet; use a local relay"));
    }
    let format = match option("syslog-format") {
        "" => Format::Unix,
        "rfc3164" => Format::Rfc3164,
        "rfc5424" => Format::Rfc5424,
        "rfc5424micro" => Format::Rfc5424Micro,
        other => return Err(Error::bad_option("syslog-format", other, "use rfc3164, rfc5424 or rfc5424micro")),
    };
    Ok(Settings { address: address(option("syslog-address"))?, facility: facility(option("syslog-facility"))?, format })
}

fn facility(text: &str) -> Result<u8> {
    if text.is_empty() {
        return Ok(3);
    }
    let named = FACILITIES.iter().position(|name| *name == text);
    match named.or_else(|| text.parse::<usize>().ok().filter(|number| *number <= 23)) {
        Some(number) => Ok(number as u8),
        None => Err(Error::bad_option("syslog-facility", text, "invalid syslog facility")),
    }
}

fn address(text: &str) -> Result<Address> {
    let refuse = |why: &str| Err(Error::bad_option("syslog-address", text, why));
    if text.is_empty() {
        return Ok(Address::Local);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return refuse("use unix://, unixgram://, udp:// or tcp://");
    };
    if rest.is_empty() {
        return refuse("the address after :// is empty");
    }
    let with_port = || {
        let after = rest.rsplit_once(']').map_or(rest, |(_, after)| after);
        if after.contains(':') { rest.to_owned() } else { format!("{rest}:{PORT}") }
    };
    match scheme {
        "unix" => Ok(Address::Unix(rest.to_owned())),
        "unixgram" => Ok(Address::UnixDatagram(rest.to_owned())),
        "udp" => Ok(Address::Udp(with_port())),
        "tcp" => Ok(Address::Tcp(with_port())),
        "tcp+tls" => refuse("TLS to syslog is not built yet; use a local relay"),
        _ => refuse("use unix://, unixgram://, udp:// or tcp://"),
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.write_str(LOCAL[0]),
            Self::Unix(at) | Self::UnixDatagram(at) | Self::Udp(at) | Self::Tcp(at) => f.write_str(at),
        }
    }
}

impl Socket {
    fn connect(address: &Address) -> io::Result<Self> {
        let unix = |path: &str| {
            let socket = UnixDatagram::unbound()?;
            match socket.connect(path) {
                Ok(()) => Ok(Self::Datagram(socket)),
                Err(_) => UnixStream::connect(path).map(Self::Unix),
            }
        };
        let socket = match address {
            Address::Local => {
                let mut outcome = Err(io::ErrorKind::NotFound.into());
                for path in LOCAL {
                    outcome = unix(path);
                    if outcome.is_ok() {
                        break;
                    }
                }
                outcome?
            }
            Address::Unix(path) => unix(path)?,
            Address::UnixDatagram(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Self::Datagram(socket)
            }
            Address::Udp(at) => {
                let to = resolve(at)?;
                let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(from)?;
                socket.connect(to)?;
                Self::Udp(socket)
            }
            Address::Tcp(at) => Self::Tcp(TcpStream::connect_timeout(&resolve(at)?, CONNECT_LIMIT)?),
        };
        rustix::io::ioctl_fionbio(socket.as_fd(), true)?;
        Ok(socket)
    }

    fn is_stream(&self) -> bool {
        matches!(self, Self::Unix(_) | Self::Tcp(_))
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Datagram(socket) => socket.send(bytes),
            Self::Udp(socket) => socket.send(bytes),
            Self::Unix(socket) => socket.write(bytes),
            Self::Tcp(socket) => socket.write(bytes),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Datagram(socket) => socket.as_fd(),
            Self::Udp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
            Self::Tcp(socket) => socket.as_fd(),
        }
    }
}

fn resolve(at: &str) -> io::Result<std::net::SocketAddr> {
    at.to_socket_addrs()?.next().ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl Syslog {
    /// Connects; later losses of the connection are repaired.
    pub fn open(config: &LogConfig, tags: &ContainerTags) -> Result<Self> {
        let settings = settings(config)?;
        let socket = Socket::connect(&settings.address)
            .map_err(|source| Error::Connect { address: settings.address.to_string(), source })?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Ok(Self {
            settings,
            socket: Some(socket),
            tried: Instant::now(),
            tag: Selection::parse(config)?.tag_or_id(tags),
            host,
            pid: std::process::id(),
            zone: jiff::tz::TimeZone::system(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            sent_of_first: 0,
            lost: None,
        })
    }

    fn message(&self, entry: &Entry<'_>) -> Vec<u8> {
        let severity = if entry.stream == Stream::Stderr { 3 } else { 6 };
        let priority = self.settings.facility * 8 + severity;
        let (tag, host, pid) = (&self.tag, &self.host, self.pid);
        let local = |format: &str| local_time(&self.zone, entry.at, format);
        let mut message = match self.settings.format {
            Format::Unix => format!("<{priority}>{} {tag}[{pid}]: ", local("%b %e %H:%M:%S")),
            Format::Rfc3164 => format!("<{priority}>{} {host} {tag}[{pid}]: ", local("%b %e %H:%M:%S")),
            Format::Rfc5424 => {
                format!("<{priority}>1 {} {host} {tag} {pid} {tag} - ", local("%Y-%m-%dT%H:%M:%S%:z"))
            }
            Format::Rfc5424Micro => {
                format!("<{priority}>1 {} {host} {tag} {pid} {tag} - ", local("%Y-%m-%dT%H:%M:%S.%6f%:z"))
            }
        }
        .into_bytes();
        message.extend_from_slice(entry.bytes);
        message.push(b'\n');
        message
    }

    fn reconnect(&mut self) {
        if self.socket.is_none() && self.tried.elapsed() >= RETRY_AFTER {
            self.tried = Instant::now();
            match Socket::connect(&self.settings.address) {
                Ok(socket) => self.socket = Some(socket),
                Err(error) => self.lost = Some(error),
            }
        }
    }

    /// Sends what the peer takes without waiting.
    fn send_queued(&mut self) {
        self.reconnect();
        while let (Some(socket), Some(first)) = (&mut self.socket, self.queue.front()) {
            match socket.send(&first[self.sent_of_first..]) {
                Ok(sent) if socket.is_stream() && self.sent_of_first + sent < first.len() => self.sent_of_first += sent,
                Ok(_) => self.drop_first(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Nobody listens on UDP just now, or the message is too long for a datagram: only this one is lost.
                Err(error) if !socket.is_stream() && !is_gone(&error) => {
                    self.lost = Some(error);
                    self.drop_first();
                }
                Err(error) => {
                    self.lost = Some(error);
                    self.socket = None;
                    // A new connection begins with a whole message.
                    self.sent_of_first = 0;
                }
            }
        }
    }

    fn drop_first(&mut self) {
        self.queued_bytes -= self.queue.pop_front().map_or(0, |message| message.len());
        self.sent_of_first = 0;
    }
}

/// Whether a local socket has lost its server, so that a new connection may help.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotConnected | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn local_time(zone: &jiff::tz::TimeZone, at: Timestamp, format: &str) -> String {
    at.to_zoned(zone.clone()).strftime(format).to_string()
}

impl LogDriver for Syslog {
    fn name(&self) -> &'static str {
        "syslog"
    }

    fn write(&mut self, entry: &Entry<'_>) -> Result<()> {
        let message = self.message(entry);
        if self.queued_bytes + message.len() > BACKLOG_BYTES {
            self.send_queued();
        }
        if self.queued_bytes + message.len() > BACKLOG_BYTES {
            self.lost.get_or_insert_with(|| io::ErrorKind::WouldBlock.into());
            return Ok(());
        }
        self.queued_bytes += message.len();
        self.queue.push_back(message);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.send_queued();
        match self.lost.take() {
            Some(source) => Err(Error::Send { address: self.settings.address.to_string(), source }),
            None => Ok(()),
        }
    }

    fn backlog(&self) -> Option<BorrowedFd<'_>> {
        match &self.socket {
            Some(socket) if !self.queue.is_empty() => Some(socket.as_fd()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read, net::TcpListener};

    use super::*;

    fn tags() -> ContainerTags {
        ContainerTags { id: "0f".repeat(32), ..ContainerTags::default() }
    }

    fn entry(bytes: &[u8]) -> Entry<'_> {
        Entry { stream: Stream::Stderr, at: Timestamp::UNIX_EPOCH, partial: false, bytes }
    }

    #[test]
    fn every_format_over_datagrams() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let server = UnixDatagram::bind(&path).unwrap();
        for (format, begins, ends) in [
            ("", "<131>", "]: hi\n"),
            ("rfc3164", "<131>", "]: hi\n"),
            ("rfc5424", "<131>1 19", " 0f0f0f0f0f0f - hi\n"),
            ("rfc5424micro", "<131>1 19", " 0f0f0f0f0f0f - hi\n"),
        ] {
            for scheme in ["unix", "unixgram"] {
                let config = LogConfig::new("syslog")
                    .with("syslog-address", &format!("{scheme}://{}", path.display()))
                    .with("syslog-facility", "local0")
                    .with("syslog-format", format);
                let mut driver = Syslog::open(&config, &tags()).unwrap();
                driver.write(&entry(b"hi")).unwrap();
                driver.flush().unwrap();
                let mut buffer = [0; 1024];
                let len = server.recv(&mut buffer).unwrap();
                let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
                assert!(text.starts_with(begins) && text.ends_with(ends), "{format}: {text:?}");
            }
        }
    }

    #[test]
    fn udp_and_tcp_arrive_and_a_silent_peer_makes_a_backlog() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let config =
            LogConfig::new("syslog").with("syslog-address", &format!("udp://{}", server.local_addr().unwrap()));
        let mut driver = Syslog::open(&config, &tags()).unwrap();
        driver.write(&entry(b"over udp")).unwrap();
        driver.flush().unwrap();
        let mut buffer = [0; 1024];
        let len = server.recv(&mut buffer).unwrap();
        assert!(buffer[..len].ends_with(b": over udp\n"));

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let config =
            LogConfig::new("syslog").with("syslog-address", &format!("tcp://{}", listener.local_addr().unwrap()));
        let mut driver = Syslog::open(&config, &tags()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        let line = vec![b'x'; 16_000];
        let mut written = 0;
        while driver.backlog().is_none() {
            driver.write(&entry(&line)).unwrap();
            driver.flush().unwrap();
            written += 1;
            assert!(written < 10_000, "the kernel takes everything");
        }
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all
        });
        while driver.backlog().is_some() {
            driver.flush().unwrap();
        }
        drop(driver);
        let all = reader.join().unwrap();
        assert_eq!(all.iter().filter(|byte| **byte == b'\n').count(), written);
    }
}
