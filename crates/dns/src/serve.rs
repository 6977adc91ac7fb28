//! The resolver's loop: one thread that waits for questions of all containers, for servers, for ends, and for the daemon.
//!
//! ```text
//!   daemon's word ─► read the state again ─► open or close sockets
//!   question ─► known: answer │ not known: ask a server, note it ─► its answer, or the next server ─► answer
//!   end of a container ─► its sockets are closed, its file is removed
//!   nobody left for a while ─► the end
//! ```

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};

use crate::bind::Sockets;
use crate::error::{Error, Result};
use crate::forward::Pending;
use crate::message::{Code, Query, Refusal, refuse};
use crate::state::State;
use crate::zone::{Known, Zones};
use crate::{control, tcp};

/// The most questions that are under way; more are answered with a failure.
const PENDING_MAX: usize = 512;
/// How many questions of one container are taken before others have their turn.
const BATCH: usize = 64;
/// How long the resolver stays when it serves nobody.
const IDLE: Duration = Duration::from_secs(1);
/// How long a wait is at most, so that deadlines are seen.
const TICK: Duration = Duration::from_millis(500);

/// What an event is about.
#[derive(Debug, Clone)]
enum Source {
    Control,
    Datagrams(String),
    Streams(String),
    End(String),
    Server,
}

/// The resolver of one daemon.
struct Resolver {
    state: State,
    zones: Arc<RwLock<Zones>>,
    epoll: OwnedFd,
    control: OwnedFd,
    sources: HashMap<u64, Source>,
    /// Sockets by container, with the tokens of their three descriptors.
    served: HashMap<String, (Sockets, [u64; 3])>,
    pending: HashMap<u64, Pending>,
    next: u64,
    turn: usize,
    leaving: bool,
}

/// Runs the resolver of the state in `dir`, until nobody needs it or the daemon says so.
pub fn main(dir: &Path) -> ExitCode {
    // The daemon may be a leader of a session that ends.
    let _ = berth_sys::process::new_session();
    let _ = berth_sys::process::set_name(c"berth-resolver");
    match Resolver::open(dir).and_then(|mut resolver| resolver.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("berth resolve: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Resolver {
    fn open(dir: &Path) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|errno| Error::Wait { source: errno.into() })?;
        let control = control::open(dir)?;
        let mut resolver = Self {
            state: State::new(dir),
            zones: Arc::default(),
            epoll,
            control,
            sources: HashMap::new(),
            served: HashMap::new(),
            pending: HashMap::new(),
            next: 0,
            turn: 0,
            leaving: false,
        };
        for id in resolver.state.networks() {
            resolver.read_network(&id);
        }
        for id in resolver.state.containers() {
            resolver.read_container(&id);
        }
        let token = resolver.token(Source::Control);
        resolver.watch(token, Source::Control)?;
        Ok(resolver)
    }

    fn token(&mut self, source: Source) -> u64 {
        self.next += 1;
        self.sources.insert(self.next, source);
        self.next
    }

    /// Waits for a descriptor that belongs to the resolver itself.
    fn watch(&self, token: u64, source: Source) -> Result<()> {
        let descriptor: BorrowedFd<'_> = match source {
            Source::Control => self.control.as_fd(),
            _ => match self.pending.get(&token) {
                Some(pending) => pending.socket.as_fd(),
                None => return Ok(()),
            },
        };
        self.add(descriptor, token)
    }

    fn add(&self, descriptor: BorrowedFd<'_>, token: u64) -> Result<()> {
        epoll::add(&self.epoll, descriptor, epoll::EventData::new_u64(token), epoll::EventFlags::IN)
            .map_err(|errno| Error::Wait { source: errno.into() })
    }

    fn run(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(256);
        let mut idle_since = Instant::now();
        while !(self.leaving && self.served.is_empty()) {
            if !self.served.is_empty() {
                idle_since = Instant::now();
            } else if idle_since.elapsed() > IDLE {
                break;
            }
            let limit = Timespec { tv_sec: 0, tv_nsec: TICK.subsec_nanos().into() };
            let limit = if self.pending.is_empty() && !self.served.is_empty() { None } else { Some(&limit) };
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), limit) {
                Ok(_) | Err(berth_sys::Errno::INTR) => {}
                Err(errno) => return Err(Error::Wait { source: errno.into() }),
            }
            for event in &events {
                self.handle(event.data.u64());
            }
            self.expire();
        }
        // The socket stays: by now a newer resolver may have put its own there, and a dead one refuses at once.
        Ok(())
    }

    fn handle(&mut self, token: u64) {
        let Some(source) = self.sources.get(&token).cloned() else { return };
        match source {
            Source::Control => {
                if let Some((what, socket)) = control::accept(&self.control) {
                    self.obey(&what);
                    control::done(&socket);
                }
            }
            Source::Datagrams(container) => self.datagrams(&container),
            Source::Streams(container) => {
                if let Some(Ok((stream, _))) = self.served.get(&container).map(|(sockets, _)| sockets.tcp.accept()) {
                    tcp::serve(stream, container, self.zones.clone());
                }
            }
            Source::End(container) => self.end(&container),
            Source::Server => self.heard(token),
        }
    }

    fn obey(&mut self, what: &str) {
        match what.split_once(' ') {
            Some(("network", id)) => self.read_network(id),
            Some(("container", id)) => {
                self.leaving = false;
                self.read_container(id);
            }
            // The ends of the last containers may not have been seen yet.
            _ if what == "leave" => self.leaving = true,
            _ => {}
        }
    }

    fn zones_mut(&self, change: impl FnOnce(&mut Zones)) {
        change(&mut self.zones.write().unwrap_or_else(PoisonError::into_inner));
    }

    fn read_network(&mut self, id: &str) {
        match self.state.network(id) {
            Ok(Some(network)) => self.zones_mut(|zones| drop(zones.networks.insert(id.to_owned(), network))),
            Ok(None) => self.zones_mut(|zones| drop(zones.networks.remove(id))),
            Err(error) => eprintln!("berth resolve: {error}"),
        }
    }

    fn read_container(&mut self, id: &str) {
        let container = self.state.container(id).unwrap_or_else(|error| {
            eprintln!("berth resolve: {error}");
            None
        });
        let Some(container) = container else {
            self.close(id);
            self.zones_mut(|zones| drop(zones.containers.remove(id)));
            return;
        };
        let address = if container.everywhere { Ipv4Addr::UNSPECIFIED } else { crate::ADDRESS };
        let (pid, born, at) = (container.pid, container.born, SocketAddrV4::new(address, container.port));
        let same = self.zones.read().unwrap_or_else(PoisonError::into_inner).containers.get(id).map(|known| known.pid);
        self.zones_mut(|zones| drop(zones.containers.insert(id.to_owned(), container)));
        if same == Some(pid) && self.served.contains_key(id) {
            return;
        }
        self.close(id);
        if let Err(error) = self.serve(id, pid, born, at) {
            eprintln!("berth resolve: {error}");
            self.end(id);
        }
    }

    /// Forgets a container that has ended.
    fn end(&mut self, id: &str) {
        self.close(id);
        // A file that cannot be removed names a process that is no more, and is passed over.
        let _ = self.state.remove_container(id);
        self.zones_mut(|zones| drop(zones.containers.remove(id)));
    }

    /// Opens the sockets of a container.
    fn serve(&mut self, id: &str, pid: i32, born: u64, at: SocketAddrV4) -> Result<()> {
        let sockets = Sockets::open(id, pid, born, at)?;
        let tokens = [
            self.token(Source::Datagrams(id.to_owned())),
            self.token(Source::Streams(id.to_owned())),
            self.token(Source::End(id.to_owned())),
        ];
        self.add(sockets.udp.as_fd(), tokens[0])?;
        self.add(sockets.tcp.as_fd(), tokens[1])?;
        self.add(sockets.process.as_fd(), tokens[2])?;
        self.served.insert(id.to_owned(), (sockets, tokens));
        Ok(())
    }

    /// Closes the sockets of a container; the kernel takes them off the list by itself.
    fn close(&mut self, id: &str) {
        if let Some((_, tokens)) = self.served.remove(id) {
            tokens.iter().for_each(|token| drop(self.sources.remove(token)));
        }
        let gone: Vec<u64> =
            self.pending.iter().filter(|(_, one)| one.container == id).map(|(token, _)| *token).collect();
        gone.iter().for_each(|token| self.forget(*token));
    }

    fn forget(&mut self, token: u64) {
        self.pending.remove(&token);
        self.sources.remove(&token);
    }

    fn datagrams(&mut self, container: &str) {
        let mut buffer = [0u8; 4096];
        for _ in 0..BATCH {
            let Some((sockets, _)) = self.served.get(container) else { return };
            let Ok((count, client)) = sockets.udp.recv_from(&mut buffer) else { return };
            let answer = match Query::parse(&buffer[..count]) {
                Err(Refusal::Silence) => continue,
                Err(Refusal::Code(id, code)) => refuse(id, code),
                Ok(query) => match self.answer(container, client, query, &buffer[..count]) {
                    Some(answer) => answer,
                    None => continue,
                },
            };
            self.send(container, client, &answer);
        }
    }

    /// The answer, or none as long as a server is asked.
    fn answer(&mut self, container: &str, client: SocketAddr, query: Query, bytes: &[u8]) -> Option<Vec<u8>> {
        self.turn = self.turn.wrapping_add(1);
        let zones = self.zones.read().unwrap_or_else(PoisonError::into_inner);
        let known = zones.look_up(container, &query.name, query.kind, self.turn);
        drop(zones);
        let servers = match known {
            Known::Answers(answers) => return Some(query.answer(Code::Ok, &answers, false)),
            Known::Nobody => return Some(query.answer(Code::NoName, &[], false)),
            Known::Ask(servers) => servers,
        };
        let failure = query.answer(Code::Failure, &[], false);
        if self.pending.len() >= PENDING_MAX {
            return Some(failure);
        }
        let Some(pending) = Pending::begin(container, client, query, bytes, &servers) else { return Some(failure) };
        let token = self.token(Source::Server);
        self.pending.insert(token, pending);
        if self.watch(token, Source::Server).is_err() {
            self.forget(token);
            return Some(failure);
        }
        None
    }

    fn send(&self, container: &str, client: SocketAddr, answer: &[u8]) {
        if let Some((sockets, _)) = self.served.get(container) {
            // A client that does not read loses it, as datagrams are lost.
            let _ = sockets.udp.send_to(answer, client);
        }
    }

    /// A server has something to say.
    fn heard(&mut self, token: u64) {
        let mut buffer = [0u8; 65_535];
        let Some(pending) = self.pending.get(&token) else { return };
        match pending.receive(&mut buffer) {
            Ok(Some(count)) => {
                let (container, client) = (pending.container.clone(), pending.client);
                self.send(&container, client, &buffer[..count]);
                self.forget(token);
            }
            Ok(None) => {}
            // It refuses: the next one, at once.
            Err(_) => self.again(token),
        }
    }

    /// Asks the next server, or gives up.
    fn again(&mut self, token: u64) {
        let Some(mut pending) = self.pending.remove(&token) else { return };
        self.sources.remove(&token);
        if pending.retry() {
            let token = self.token(Source::Server);
            self.pending.insert(token, pending);
            if self.watch(token, Source::Server).is_err() {
                self.forget(token);
            }
            return;
        }
        let failure = pending.query().answer(Code::Failure, &[], false);
        self.send(&pending.container, pending.client, &failure);
    }

    fn expire(&mut self) {
        let now = Instant::now();
        let late: Vec<u64> =
            self.pending.iter().filter(|(_, one)| one.deadline <= now).map(|(token, _)| *token).collect();
        late.iter().for_each(|token| self.again(*token));
    }
}
