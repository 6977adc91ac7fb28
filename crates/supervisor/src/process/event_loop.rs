//! The loop: events in, what follows from them out.

use std::{
    collections::VecDeque,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    rc::Rc,
    time::{Duration, Instant},
};

use berth_kit::guard::{Guard, stands};
use berth_log::Stream;
use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType},
};

use super::{
    connection::{Connection, Role},
    output::Output,
    stdio::{self, Wanted},
    task::Task,
    watched::{Epoll, Token},
};
use crate::{
    Error, ExitRecord, Result, Settings,
    isolation::Isolation,
    path::SocketPath,
    protocol::{Event, Failure, Reply},
};

/// Size of the one buffer, in bytes; also the most that is read of one output before others get their turn.
const BUFFER_BYTES: usize = 32 * 1024;
/// The most that is read of a pipe at its end, in buffers: twice what the kernel lets a pipe hold.
const REST_READS: usize = 64;
/// Clients at the same time.
const CLIENTS_MAX: usize = 1024;
const BACKLOG: i32 = 128;
/// How often, and with what pause, the count of kills is looked at after the kernel announced one.
const OOM_LOOKS: u8 = 10;
const OOM_PAUSE: Duration = Duration::from_millis(10);
/// How many ended execs are remembered.
pub(super) const REMEMBERED_EXECS: usize = 256;

/// An exec that has ended.
pub(super) struct EndedExec {
    pub id: String,
    pub pid: i32,
    pub code: i32,
}

/// Everything a supervisor has.
pub(super) struct Supervisor {
    pub bundle: PathBuf,
    pub settings: Settings,
    pub isolation: Box<dyn Isolation>,
    pub log: Output,
    /// The container's main process first, while it is not finished.
    pub tasks: Vec<Task>,
    pub connections: Vec<Connection>,
    pub ended_execs: VecDeque<EndedExec>,
    pub started_at_ns: Option<i64>,
    pub main_pid: i32,
    /// The main process has ended at this time.
    pub main_ended: Option<Instant>,
    /// Why the main process never ran.
    pub start_failure: Option<Failure>,
    pub exit: Option<ExitRecord>,
    /// When the exit record was written.
    pub recorded_at: Option<Instant>,
    pub epoll: Epoll,
    pub buffer: Box<[u8]>,
    listener: OwnedFd,
    oom: Option<OwnedFd>,
    /// Kills that watchers were told of.
    oom_told: u64,
    /// The kernel announces a kill before it counts it: when to look again, and how often still.
    oom_again: Option<(Instant, u8)>,
    /// Watched while the log service takes nothing.
    log_wait: Option<OwnedFd>,
    next_key: u32,
}

impl Supervisor {
    /// Listens on the bundle's socket; there is no container yet.
    pub fn new(bundle: PathBuf, settings: Settings, log: Output, isolation: Box<dyn Isolation>) -> Result<Self> {
        let epoll = Rc::new(epoll::create(CreateFlags::CLOEXEC).map_err(Error::system("make an epoll set"))?);
        ExitRecord::remove(&bundle)?;
        let listener = listen(&bundle).map_err(Error::system("listen on the bundle's socket"))?;
        let data = EventData::new_u64(Token::Listener.pack());
        epoll::add(&*epoll, &listener, data, EventFlags::IN).map_err(Error::system("watch the bundle's socket"))?;
        Ok(Self {
            bundle,
            settings,
            isolation,
            log,
            tasks: Vec::new(),
            connections: Vec::new(),
            ended_execs: VecDeque::new(),
            started_at_ns: None,
            main_pid: 0,
            main_ended: None,
            start_failure: None,
            exit: None,
            recorded_at: None,
            epoll,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            listener,
            oom: None,
            oom_told: 0,
            oom_again: None,
            log_wait: None,
            next_key: 0,
        })
    }

    /// Creates the container and leaves it at its gate.
    pub fn create(&mut self, tty: bool) -> std::result::Result<(), Failure> {
        let system = |errno| Failure::errno("make standard streams", errno);
        let wanted = Wanted { stdin: self.settings.open_stdin, output: true };
        let (streams, ends) = stdio::open(tty, self.settings.size, wanted).map_err(system)?;
        let child = self.isolation.create(streams)?;
        self.main_pid = child.pid;
        let key = self.key();
        let task = Task::new(&self.epoll, key, None, child, ends).map_err(system)?;
        self.tasks.push(task);
        self.oom = self.isolation.oom_watch();
        if let Some(oom) = &self.oom {
            let data = EventData::new_u64(Token::Oom.pack());
            epoll::add(&*self.epoll, oom, data, EventFlags::IN).map_err(system)?;
        }
        Ok(())
    }

    /// Watches what the isolation itself has to do, which begins with the release.
    pub fn watch_isolation(&mut self) -> std::result::Result<(), Failure> {
        let Some(descriptor) = self.isolation.descriptor() else { return Ok(()) };
        let data = EventData::new_u64(Token::Isolation.pack());
        epoll::add(&*self.epoll, descriptor, data, EventFlags::IN)
            .map_err(|errno| Failure::errno("watch the container's streams", errno))
    }

    /// Takes over the daemon's socket, and says that the container is ready.
    pub fn adopt(&mut self, daemon: OwnedFd) {
        let pid = self.main_pid;
        let key = self.key();
        let mut connection = Connection::new(&self.epoll, key, daemon);
        connection.reply(&Reply::Ready { pid });
        self.connections.push(connection);
    }

    /// Serves until the container has ended and everybody was told.
    pub fn run(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(16);
        self.settle();
        while !self.is_done() {
            let timeout = self.timeout();
            events.clear();
            match epoll::wait(&*self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::system("wait for events")(errno)),
            }
            for event in &events {
                self.dispatch(Token::unpack(event.data.u64()), event.flags);
            }
            self.settle();
        }
        self.leave();
        Ok(())
    }

    pub fn key(&mut self) -> u32 {
        self.next_key += 1;
        self.next_key
    }

    pub fn task(&mut self, key: u32) -> Option<&mut Task> {
        self.tasks.iter_mut().find(|task| task.key == key)
    }

    fn dispatch(&mut self, token: Token, flags: EventFlags) {
        match token {
            Token::Listener => self.accept(),
            Token::Log => self.log.flush(),
            Token::Oom => self.note_oom(),
            Token::Isolation => self.isolation.turn(),
            Token::Ended(key) => self.collect(key),
            Token::Stdin(key) => {
                if let Some(task) = self.task(key) {
                    // A hang-up is learned by the failing write.
                    task.flush_input();
                    if flags.contains(EventFlags::ERR) {
                        task.input = super::task::Input::default();
                    }
                }
            }
            Token::Stdout(key) => {
                if flags.contains(EventFlags::OUT)
                    && let Some(task) = self.task(key)
                {
                    task.flush_input();
                }
                if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                    self.read_output(key, Stream::Stdout);
                }
            }
            Token::Stderr(key) => drop(self.read_output(key, Stream::Stderr)),
            Token::Client(key) => self.serve(key, flags),
        }
    }

    /// Accepts clients of the same user.
    fn accept(&mut self) {
        loop {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let Ok(socket) = rustix::net::accept_with(&self.listener, flags) else { return };
            let own = rustix::process::geteuid().as_raw();
            let allowed = berth_sys::message::peer(socket.as_fd()).is_ok_and(|peer| peer.uid == own);
            if allowed && self.connections.len() < CLIENTS_MAX {
                let key = self.key();
                self.connections.push(Connection::new(&self.epoll, key, socket));
            }
        }
    }

    /// Reads one output of a task: to the log, to clients, or to nobody. Whether anything came.
    fn read_output(&mut self, key: u32, stream: Stream) -> bool {
        let Self { tasks, buffer, connections, log, .. } = self;
        let Some(task) = tasks.iter_mut().find(|task| task.key == key) else { return false };
        let Some(output) = task.output(stream).filter(|_| !task.paused) else { return false };
        match rustix::io::read(output, &mut buffer[..]) {
            Ok(len) if len > 0 => {
                task.note_output();
                if task.exec.is_none() {
                    log.push(stream, &buffer[..len]);
                }
                for connection in connections.iter_mut() {
                    let wanted = connection.attachment().filter(|it| it.task == key);
                    if wanted.is_some_and(|it| if stream == Stream::Stderr { it.stderr } else { it.stdout }) {
                        connection.send_output(stream, &buffer[..len]);
                    }
                }
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            // The end; for a terminal that is EIO, as soon as nobody has it open.
            _ => {
                task.close_output(stream);
                false
            }
        }
    }

    /// Reads what an ended process left in its pipes: time alone must not lose it.
    pub fn read_rest(&mut self, key: u32) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut reads = 0;
            while reads < REST_READS && self.read_output(key, stream) {
                reads += 1;
            }
        }
    }

    /// The out-of-memory killer is at work, or the cgroup has gone.
    fn note_oom(&mut self) {
        if let Some(oom) = &self.oom {
            while rustix::io::read(oom, &mut self.buffer[..]).is_ok_and(|len| len > 0) {}
        }
        self.oom_again = Some((Instant::now(), OOM_LOOKS));
    }

    /// Tells watchers of kills they were not told of.
    pub fn tell_oom(&mut self) {
        let kills = self.isolation.oom_kills();
        if kills > self.oom_told {
            (self.oom_told, self.oom_again) = (kills, None);
            self.tell(&Event::OomKilled);
        }
    }

    fn settle_oom(&mut self, now: Instant) {
        if let Some((at, looks)) = self.oom_again
            && now >= at
        {
            self.oom_again = (looks > 0).then(|| (now + OOM_PAUSE, looks.saturating_sub(1)));
            self.tell_oom();
        }
    }

    /// A process has ended.
    fn collect(&mut self, key: u32) {
        let Some(task) = self.tasks.iter_mut().find(|task| task.key == key && task.ended().is_none()) else { return };
        let Some(ended) = self.isolation.collect(&task.child) else { return };
        task.set_ended(&self.epoll, ended);
        if task.exec.is_none() {
            self.main_ended = Some(Instant::now());
            self.isolation.clear();
        }
    }

    /// Tells every watcher.
    pub fn tell(&mut self, event: &Event) {
        for connection in self.connections.iter_mut().filter(|connection| connection.role == Role::Watcher) {
            connection.reply(&Reply::Event(event.clone()));
        }
    }

    /// Draws the consequences: what is finished, and who waits for whom.
    pub fn settle(&mut self) {
        self.settle_log();
        let now = Instant::now();
        self.settle_oom(now);
        let log_waits = self.log.backlog().is_some();
        for task in &mut self.tasks {
            let behind = self.connections.iter().any(|it| {
                it.attachment().is_some_and(|attachment| attachment.task == task.key)
                    && it.is_behind()
                    && !it.is_over(now)
            });
            task.paused = behind || (task.exec.is_none() && log_waits);
            // A descriptor that cannot be watched is treated as ended.
            if task.settle().is_err() {
                (task.stdout, task.stderr) = (None, None);
            }
        }
        self.finish_tasks(now);
        self.settle_connections(now);
    }

    fn settle_log(&mut self) {
        let wanted = self.log.waits_for();
        if wanted.is_some() == self.log_wait.is_some() {
            return;
        }
        self.forget_log_wait();
        if let Some(descriptor) = wanted {
            let data = EventData::new_u64(Token::Log.pack());
            if epoll::add(&*self.epoll, &descriptor, data, EventFlags::OUT).is_ok() {
                self.log_wait = Some(descriptor);
            }
        }
    }

    /// Drops the copy of the log's descriptor, without which a log writer would not see the end of its pipe.
    pub fn forget_log_wait(&mut self) {
        if let Some(old) = self.log_wait.take() {
            let _ = epoll::delete(&*self.epoll, &old);
        }
    }

    fn settle_connections(&mut self, now: Instant) {
        let mut index = 0;
        while index < self.connections.len() {
            let connection = &mut self.connections[index];
            let takes_input = connection
                .attachment()
                .and_then(|it| self.tasks.iter().find(|task| task.key == it.task))
                .is_some_and(Task::takes_input);
            if connection.is_over(now) || connection.settle(takes_input).is_err() {
                self.connections.swap_remove(index).hang_up(&mut self.buffer);
            } else {
                index += 1;
            }
        }
    }

    /// Until the next deadline of a task or client.
    fn timeout(&self) -> Option<Timespec> {
        let tasks = self.tasks.iter().filter_map(Task::deadline);
        let clients = self.connections.iter().filter_map(Connection::deadline);
        let nearest =
            tasks.chain(clients).chain(self.finish_deadline()).chain(self.oom_again.map(|(at, _)| at)).min()?;
        let left = nearest.saturating_duration_since(Instant::now());
        Some(Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() })
    }
}

/// The listening socket, mode 0600 from its first moment.
fn listen(bundle: &std::path::Path) -> rustix::io::Result<OwnedFd> {
    let directory = SocketPath::in_bundle(bundle)?;
    let path = directory.get();
    match rustix::fs::unlink(&path) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno),
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // The mode of the descriptor becomes the mode of the node.
    rustix::fs::fchmod(&listener, rustix::fs::Mode::from_raw_mode(0o600))?;
    rustix::net::bind(&listener, &SocketAddrUnix::new(&path)?)?;
    rustix::net::listen(&listener, BACKLOG)?;
    if !stands(Guard::NamedSockets) {
        let name = format!("berth/{}", bundle.display());
        let named = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        rustix::net::bind(&named, &SocketAddrUnix::new_abstract_name(&name.as_bytes()[..name.len().min(100)])?)?;
        rustix::net::listen(&named, BACKLOG)?;
        std::mem::forget(named);
    }
    Ok(listener)
}
