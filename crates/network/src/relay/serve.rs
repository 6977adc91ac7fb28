//! The process `berth relay`: it listens where it was told, carries on what comes, and ends when nothing is left to listen
//! for and nothing to carry.

use std::{
    collections::HashMap,
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use super::{
    binder::Binder,
    tcp, udp,
    wire::{Answer, PATIENCE, Relay, SOCKET, Word},
};
use crate::port::Protocol;

/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 16 << 20;
/// How long the process stays without work.
const IDLE: Duration = Duration::from_secs(1);

/// Connections that are being carried.
#[derive(Debug, Clone, Default)]
pub struct Load(Arc<AtomicUsize>);

/// One of them, until it is dropped.
pub struct Carried(Load);

impl Load {
    pub fn begin(&self) -> Carried {
        self.0.fetch_add(1, Ordering::AcqRel);
        Carried(self.clone())
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Default)]
struct Process {
    listening: HashMap<Relay, JoinHandle<()>>,
    load: Load,
    binder: Binder,
}

/// Runs the relays' process with its socket in `dir`, until nobody needs it.
pub fn main(dir: &Path) -> ExitCode {
    // The daemon may be a leader of a session that ends.
    let _ = berth_sys::process::new_session();
    let _ = berth_sys::process::set_name(c"berth-relay");
    match block(dir, Process::default(), false) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("berth relay: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs relays whose sockets `binder` makes, for as long as the process lives.
///
/// # Errors
/// The socket in `dir` cannot be had.
pub fn hold(dir: &Path, binder: Binder) -> std::io::Result<()> {
    block(dir, Process { binder, ..Process::default() }, true)
}

fn block(dir: &Path, process: Process, stays: bool) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(dir, process, stays))
}

async fn run(dir: &Path, mut process: Process, stays: bool) -> std::io::Result<()> {
    let path = dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let control = UnixListener::bind(&path)?;
    loop {
        match tokio::time::timeout(IDLE, control.accept()).await {
            Ok(Ok((stream, _))) => {
                if tokio::time::timeout(PATIENCE, process.converse(stream)).await.is_err() {
                    eprintln!("berth relay: a daemon broke off");
                }
            }
            Ok(Err(error)) => return Err(error),
            Err(_) if stays => {}
            // The socket stays: a dead one refuses at once.
            Err(_) if process.listening.is_empty() && process.load.0.load(Ordering::Acquire) == 0 => return Ok(()),
            Err(_) => {}
        }
    }
}

impl Process {
    async fn converse(&mut self, stream: UnixStream) {
        let (reader, mut writer) = stream.into_split();
        let mut line = String::new();
        if BufReader::new(reader.take(LINE_BYTES_MAX)).read_line(&mut line).await.is_err() {
            return;
        }
        let error = match serde_json::from_str::<Word>(&line) {
            Ok(word) => self.obey(word).await.err().map(|error| error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let mut answer = serde_json::to_vec(&Answer { error }).unwrap_or_default();
        answer.push(b'\n');
        // Who asked may have left.
        let _ = writer.write_all(&answer).await;
    }

    async fn obey(&mut self, word: Word) -> std::io::Result<()> {
        match word {
            Word::Open(relay) => self.open(relay),
            Word::Close(relay) => {
                self.close(&relay).await;
                Ok(())
            }
            Word::All(relays) => {
                for relay in relays {
                    if let Err(error) = self.open(relay.clone()) {
                        eprintln!("berth relay: {}: {error}", relay.at);
                    }
                }
                Ok(())
            }
            Word::Keep(relays) => {
                let others: Vec<_> = self.listening.keys().filter(|one| !relays.contains(one)).cloned().collect();
                for relay in &others {
                    self.close(relay).await;
                }
                Ok(())
            }
        }
    }

    fn open(&mut self, relay: Relay) -> std::io::Result<()> {
        if self.listening.contains_key(&relay) {
            return Ok(());
        }
        let socket = self.binder.bind(&relay)?;
        let task = match relay.protocol {
            Protocol::Udp => {
                let socket = tokio::net::UdpSocket::from_std(std::net::UdpSocket::from(socket))?;
                tokio::spawn(udp::carry(socket, relay.target, self.load.clone()))
            }
            _ => {
                let listener = tokio::net::TcpListener::from_std(std::net::TcpListener::from(socket))?;
                tokio::spawn(tcp::accept(listener, relay.target, self.load.clone()))
            }
        };
        self.listening.insert(relay, task);
        Ok(())
    }

    /// Closes a listener; its port is free on return. What it carries goes on.
    async fn close(&mut self, relay: &Relay) {
        if let Some(task) = self.listening.remove(relay) {
            task.abort();
            let _ = task.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};

    use super::*;
    use crate::relay::wire::say;

    fn relay(protocol: Protocol, at: &str, target: SocketAddr) -> Relay {
        Relay { protocol, at: at.parse().unwrap(), target }
    }

    #[tokio::test]
    async fn both_protocols_are_carried_and_the_process_ends_when_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_owned();
        let process = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(run(&place, Process::default(), false))
        });
        while !dir.path().join(SOCKET).exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let free = |text: &str| UdpSocket::bind(text).unwrap().local_addr().unwrap().port();
        let port = free("[::1]:0");
        let one = relay(Protocol::Udp, &format!("[::1]:{port}"), server.local_addr().unwrap());
        say(dir.path(), &Word::Open(one.clone())).unwrap();
        say(dir.path(), &Word::Open(one.clone())).unwrap();
        let client = UdpSocket::bind("[::1]:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for text in [b"one", b"two"] {
            client.send_to(text, ("::1", port)).unwrap();
            let mut buffer = [0; 16];
            let (count, from) = server.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], text);
            server.send_to(b"answer", from).unwrap();
            let (count, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..count], from.port()), (&b"answer"[..], port));
        }
        let taken = relay(Protocol::Udp, &client.local_addr().unwrap().to_string(), server.local_addr().unwrap());
        assert!(say(dir.path(), &Word::Open(taken)).is_err(), "a port that somebody else has");
        say(dir.path(), &Word::Keep(Vec::new())).unwrap();
        UdpSocket::bind(("::1", port)).expect("the port is free again");
        let ended = tokio::task::spawn_blocking(move || process.join().unwrap());
        tokio::time::timeout(Duration::from_secs(20), ended).await.expect("it ends").unwrap().unwrap();
    }
}
