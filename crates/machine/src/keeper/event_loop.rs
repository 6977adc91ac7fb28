//! The keeper at work: one poll over monitor, console, listener and clients.

use std::{
    io::Write as _,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{fs::OpenOptionsExt as _, net::UnixListener},
    },
    path::PathBuf,
    time::{Duration, Instant},
};

use berth_kit::time::Timestamp;
use berth_runtime::Container;
use berth_sys::pidfd::{self, Ended};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use super::{
    connection::{Connection, WAITING_BYTES_MAX},
    console::Console,
    process,
    protocol::{Event, LINE_BYTES_MAX, Plan, Reply, Request, line, take},
    qmp::{Qmp, Said},
};
use crate::record::Exit;

/// More clients at a time are hung up on.
const CLIENTS_MAX: usize = 64;
/// What guests are typed waits up to so many bytes.
const TYPED_BYTES_MAX: usize = 64 << 10;
/// Clients that have not taken everything are waited for so long.
const LINGER_LIMIT: Duration = Duration::from_secs(5);

/// What a connection is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Requests,
    Console,
}

struct Client {
    id: u64,
    connection: Connection,
    used: Use,
    watches: bool,
}

/// See the module.
pub struct Keeper {
    plan: Plan,
    run: PathBuf,
    container: Container,
    qmp: Qmp,
    port: Connection,
    /// The monitor's standard output and error.
    words: Option<OwnedFd>,
    said: String,
    listener: UnixListener,
    console: Console,
    clients: Vec<Client>,
    next_client: u64,
    paused: bool,
    reason: Option<String>,
}

impl Keeper {
    /// Keeps a monitor that runs.
    pub fn new(
        plan: Plan,
        run: PathBuf,
        container: Container,
        qmp: Qmp,
        port: Connection,
        words: OwnedFd,
        listener: UnixListener,
    ) -> Self {
        let console = Console::open(&plan.console_log);
        Self {
            plan,
            run,
            container,
            qmp,
            port,
            words: Some(words),
            said: String::new(),
            listener,
            console,
            clients: Vec::new(),
            next_client: 0,
            paused: false,
            reason: None,
        }
    }

    /// Serves until the monitor has ended and its end is told.
    pub fn run(&mut self) {
        let ended = loop {
            self.wait(None);
            if let Ok(Some(ended)) = pidfd::try_wait(self.container.pidfd.as_fd()) {
                break ended;
            }
        };
        self.read_rest();
        let exit = self.exit(ended);
        self.write_exit(&exit);
        if let Some(cgroup) = &self.container.cgroup {
            // The monitor's helpers, if it has any, go with it.
            let _ = cgroup.kill_all();
            let _ = cgroup.remove();
        }
        process::sweep(&self.run);
        for client in self.qmp.give_up() {
            self.answer(client, &Reply::Failed("the machine has ended".to_owned()));
        }
        self.tell(&Event::Ended(exit));
        self.linger();
    }

    /// Waits for anything, and does what there is to do.
    fn wait(&mut self, limit: Option<Duration>) {
        let typed_room = self.port.goes.len() < TYPED_BYTES_MAX;
        let pidfd = self.container.pidfd.as_fd();
        let mut sets = vec![
            PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
            unless_ended(&self.qmp.connection, pidfd),
            unless_ended(&self.port, pidfd),
            PollFd::from_borrowed_fd(self.words.as_ref().map_or(pidfd, AsFd::as_fd), PollFlags::IN),
        ];
        let fixed = sets.len();
        for client in &self.clients {
            let reads = client.used == Use::Requests || typed_room;
            sets.push(PollFd::new(&client.connection.stream, client.connection.interest(reads)));
        }
        let limit =
            limit.map(|limit| Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() });
        if poll(&mut sets, limit.as_ref()).is_err() {
            // Interrupted: the next turn looks again.
            return;
        }
        let ready: Vec<PollFlags> = sets.iter().map(PollFd::revents).collect();
        drop(sets);
        if readable(ready[2]) && !self.qmp.connection.ended {
            self.qmp.connection.read();
        }
        self.qmp.connection.flush();
        self.hear_monitor();
        if readable(ready[3]) && !self.port.ended {
            self.port.read();
        }
        self.port.flush();
        self.pass_output();
        if readable(ready[4]) {
            self.hear_words();
        }
        for (client, flags) in self.clients.iter_mut().zip(&ready[fixed..]) {
            if readable(*flags) {
                client.connection.read();
            }
            // Who looks at the console may have nothing more to type.
            let hung_up = flags.intersects(PollFlags::HUP | PollFlags::ERR);
            client.connection.gone |= client.connection.ended && (client.used == Use::Requests || hung_up);
            client.connection.flush();
        }
        self.serve();
        if readable(ready[1]) {
            self.accept();
        }
        self.clients.retain(|client| !client.connection.gone);
    }

    fn accept(&mut self) {
        let Ok((stream, _)) = self.listener.accept() else { return };
        let is_root = berth_sys::message::peer(stream.as_fd()).is_ok_and(|peer| peer.uid == 0);
        let Ok(connection) = Connection::over(stream) else { return };
        if is_root && self.clients.len() < CLIENTS_MAX {
            self.next_client += 1;
            self.clients.push(Client { id: self.next_client, connection, used: Use::Requests, watches: false });
        }
    }

    fn hear_monitor(&mut self) {
        while let Some(said) = self.qmp.take() {
            match said {
                Said::Answer { client, reply } => self.answer(client, &reply),
                Said::Event { name, data } => match name.as_str() {
                    "STOP" => self.stand(true),
                    "RESUME" => self.stand(false),
                    "RESET" => self.tell(&Event::Reset),
                    "SHUTDOWN" => self.reason = data["reason"].as_str().map(str::to_owned),
                    _ => {}
                },
            }
        }
        if self.qmp.connection.came.len() > LINE_BYTES_MAX {
            // A monitor that says so much is none any more.
            process::kill(&self.container);
        }
    }

    /// Keeps the last words, so that a monitor never waits to say them.
    fn hear_words(&mut self) {
        let Some(words) = &self.words else { return };
        let heard = process::last_words(words);
        if heard.is_empty() {
            self.words = None;
        } else {
            self.said = heard;
        }
    }

    fn stand(&mut self, paused: bool) {
        self.paused = paused;
        self.tell(if paused { &Event::Paused } else { &Event::Resumed });
    }

    /// What the guest said goes to the log and to everybody who looks.
    fn pass_output(&mut self) {
        let bytes = std::mem::take(&mut self.port.came);
        if bytes.is_empty() {
            return;
        }
        self.console.push(&bytes);
        for client in self.clients.iter_mut().filter(|client| client.used == Use::Console) {
            client.connection.push(&bytes);
        }
    }

    fn serve(&mut self) {
        for index in 0..self.clients.len() {
            loop {
                let client = &mut self.clients[index];
                if client.used == Use::Console {
                    let typed = std::mem::take(&mut client.connection.came);
                    if !typed.is_empty() && !self.port.gone {
                        self.port.push(&typed);
                    }
                    break;
                }
                let Some(request) = take::<Request>(&mut client.connection.came) else {
                    client.connection.gone |= client.connection.came.len() > LINE_BYTES_MAX;
                    break;
                };
                let id = client.id;
                match request {
                    Some(request) => self.carry_out(index, id, request),
                    None => self.answer(id, &Reply::Failed("the request is not understood".to_owned())),
                }
            }
        }
    }

    fn carry_out(&mut self, index: usize, id: u64, request: Request) {
        match request {
            Request::Start => self.answer(id, &Reply::Failed("it has started already".to_owned())),
            Request::Status => {
                let status = json!({"paused": self.paused, "pid": self.container.pid});
                self.answer(id, &Reply::Done(status));
            }
            Request::Qmp { execute, arguments, file } => {
                if let Err(reason) = self.qmp.execute(id, &execute, &arguments, file.as_deref()) {
                    self.answer(id, &Reply::Failed(reason));
                }
            }
            Request::Console { replay } => {
                self.answer(id, &Reply::Done(json!(null)));
                let client = &mut self.clients[index];
                client.used = Use::Console;
                if replay {
                    let recent = self.console.recent();
                    client.connection.push(&recent);
                }
            }
            Request::Watch => {
                self.answer(id, &Reply::Done(json!({"paused": self.paused})));
                self.clients[index].watches = true;
            }
            Request::Kill => {
                process::kill(&self.container);
                self.answer(id, &Reply::Done(json!(null)));
            }
        }
    }

    fn answer(&mut self, id: u64, reply: &Reply) {
        if let Some(client) = self.clients.iter_mut().find(|client| client.id == id) {
            client.connection.push(&line(reply));
        }
    }

    fn tell(&mut self, event: &Event) {
        let bytes = line(&Reply::Event(event.clone()));
        for client in self.clients.iter_mut().filter(|client| client.watches) {
            client.connection.push(&bytes);
        }
    }

    /// What guest and monitor said before they ended.
    fn read_rest(&mut self) {
        for _ in 0..WAITING_BYTES_MAX / (16 << 10) {
            let before = self.port.came.len();
            self.port.read();
            if self.port.ended || self.port.came.len() == before {
                break;
            }
        }
        self.pass_output();
        self.qmp.connection.read();
        self.hear_monitor();
        self.hear_words();
    }

    fn exit(&self, ended: Ended) -> Exit {
        let code = ended.shell_code();
        let reason = match (&self.reason, ended) {
            (Some(reason), _) => reason.clone(),
            (None, Ended::Signal(libc::SIGKILL)) => "killed".to_owned(),
            (None, Ended::Signal(signal)) => format!("signal {signal}"),
            (None, Ended::Code(code)) => format!("code {code}"),
        };
        let said = if code == 0 { String::new() } else { self.said.clone() };
        Exit { version: 1, at_ns: i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0), code, reason, said }
    }

    /// Whole or not at all; with no room for it, watchers are told all the same.
    fn write_exit(&self, exit: &Exit) {
        let draft = self.plan.exit.with_extension("new");
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft);
        let written = file.and_then(|mut file| file.write_all(&line(exit)));
        let _ = written.and_then(|()| std::fs::rename(&draft, &self.plan.exit));
    }

    fn linger(&mut self) {
        // Nobody watches: whoever looks finds the record.
        let end = Instant::now() + LINGER_LIMIT;
        for client in &mut self.clients {
            client.connection.flush();
        }
        while self.clients.iter().any(|client| !client.connection.goes.is_empty() && !client.connection.gone) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let mut sets: Vec<PollFd<'_>> = self
                .clients
                .iter()
                .map(|it| PollFd::new(&it.connection.stream, it.connection.interest(false)))
                .collect();
            let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            if poll(&mut sets, Some(&limit)).is_err() {
                continue;
            }
            drop(sets);
            for client in &mut self.clients {
                client.connection.flush();
            }
        }
    }
}

/// A connection that has ended is not waited for, it would always be ready; the monitor's end stands in its place.
fn unless_ended<'a>(connection: &'a Connection, pidfd: BorrowedFd<'a>) -> PollFd<'a> {
    match connection.ended || connection.gone {
        true => PollFd::from_borrowed_fd(pidfd, PollFlags::IN),
        false => PollFd::new(&connection.stream, connection.interest(true)),
    }
}

fn readable(flags: PollFlags) -> bool {
    flags.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
}
