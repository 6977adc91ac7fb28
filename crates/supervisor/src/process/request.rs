//! Requests of clients, each a step of at most a few milliseconds.

use std::os::fd::AsFd;

use berth_kit::crash;
use berth_kit::guard::{Guard, stands};
use berth_kit::time::Timestamp;
use rustix::event::epoll::EventFlags;

use super::{
    connection::{Attachment, Role},
    event_loop::Supervisor,
    stdio::{self, Wanted},
    task::Task,
};
use crate::protocol::{Event, Exec, Failure, Framed, Reply, Request, State, framed};

impl Supervisor {
    /// A client can be written to, has written, or is gone.
    pub(super) fn serve(&mut self, key: u32, flags: EventFlags) {
        let Some(index) = self.connections.iter().position(|connection| connection.key == key) else { return };
        if flags.contains(EventFlags::OUT) {
            self.connections[index].flush();
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return;
        }
        let connection = &mut self.connections[index];
        let Ok(len) = connection.receive(&mut self.buffer) else { return };
        if len == 0 && flags.contains(EventFlags::HUP) {
            connection.lose();
        }
        match (connection.role, len) {
            (Role::Control, 0) | (Role::Watcher, _) => {}
            (Role::Control, _) => {
                connection.inbox.extend_from_slice(&self.buffer[..len]);
                self.answer(index);
            }
            (Role::Stream(attachment), 0) => self.end_client_input(attachment),
            (Role::Stream(attachment), _) if attachment.stdin => {
                if let Some(task) = self.tasks.iter_mut().find(|task| task.key == attachment.task) {
                    task.write_input(&self.buffer[..len]);
                }
            }
            // Input that nobody asked for.
            (Role::Stream(_), _) => {}
        }
    }

    /// A client has ended its direction.
    fn end_client_input(&mut self, attachment: Attachment) {
        let once = self.settings.stdin_once;
        if attachment.stdin
            && (attachment.exec || once)
            && let Some(task) = self.task(attachment.task)
        {
            task.end_input();
        }
    }

    /// Answers every whole request of a connection, until it becomes a stream.
    fn answer(&mut self, index: usize) {
        loop {
            let connection = &mut self.connections[index];
            if connection.is_closing() {
                return;
            }
            match (connection.role, framed(&connection.inbox)) {
                (Role::Control, Framed::Whole(body)) => {
                    let end = body.end;
                    let request = serde_json::from_slice::<Request>(&connection.inbox[body]);
                    connection.inbox.drain(..end);
                    match request {
                        Ok(request) => self.act(index, request),
                        Err(error) => self.reject(index, format!("no request: {error}")),
                    }
                }
                (Role::Control, Framed::TooLong(len)) => {
                    self.reject(index, format!("a frame of {len} bytes is too long"));
                }
                (Role::Control, Framed::Short) | (Role::Watcher, _) => return,
                (Role::Stream(attachment), _) => {
                    // The client did not wait for the answer: the rest is standard input.
                    let early = std::mem::take(&mut connection.inbox);
                    if let Some(task) = self.task(attachment.task).filter(|_| attachment.stdin) {
                        task.write_input(&early);
                    }
                    return;
                }
            }
        }
    }

    fn reject(&mut self, index: usize, message: String) {
        let connection = &mut self.connections[index];
        connection.reply(&Reply::Error(Failure::new("request", message)));
        connection.close();
    }

    fn act(&mut self, index: usize, request: Request) {
        let reply = match request {
            Request::Start => self.start(),
            Request::Status => Ok(Reply::State(self.state())),
            Request::Watch => return self.watch(index),
            Request::Attach { stdin, stdout, stderr } => return self.attach(index, stdin, stdout, stderr),
            Request::Exec(exec) => return self.exec(index, *exec),
            Request::Tool { id, arguments } => return self.tool(index, &id, &arguments),
            Request::Ask(about) => self.started().and_then(|()| self.isolation.ask(&about)).map(Reply::Told),
            Request::ExecStatus { id } => self.exec_status(&id),
            Request::Resize { exec, rows, cols } => self.resize(exec.as_deref(), rows, cols),
            Request::Signal { signal, all } => self.signal(signal, all),
            Request::CloseStdin => self.running().map(|task| {
                task.end_input();
                Reply::Ok
            }),
        };
        self.connections[index].reply(&reply.unwrap_or_else(Reply::Error));
    }

    /// The container's task while its process has not ended.
    fn running(&mut self) -> Result<&mut Task, Failure> {
        let main = self.tasks.iter_mut().find(|task| task.exec.is_none() && task.ended().is_none());
        main.ok_or_else(|| Failure::new("state", "container is not running"))
    }

    /// Whether it was let run, and has not ended.
    fn started(&mut self) -> Result<(), Failure> {
        let started = self.started_at_ns.is_some();
        self.running()?;
        if started { Ok(()) } else { Err(Failure::new("state", "container is not running")) }
    }

    fn start(&mut self) -> Result<Reply, Failure> {
        self.running()?;
        if self.started_at_ns.is_some() {
            return Err(Failure::new("state", "container is already started"));
        }
        // Taken before: the program may have ended when the gate call returns.
        let at = i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0);
        crash::point("supervisor");
        let released = self.isolation.release().and_then(|()| self.watch_isolation());
        crash::point("supervisor");
        match released {
            Ok(()) => {
                self.started_at_ns = Some(at);
                Ok(Reply::Started { pid: self.main_pid })
            }
            Err(failure) => {
                self.start_failure = Some(failure.clone());
                // It ends by itself; a process that does not would keep the supervisor for ever.
                let _ = self.isolation.signal_all(libc::SIGKILL);
                Err(failure)
            }
        }
    }

    fn state(&mut self) -> State {
        let started = self.started_at_ns.is_some();
        State {
            pid: self.main_pid,
            started,
            running: started && self.running().is_ok(),
            started_at_ns: self.started_at_ns,
            log_failures: self.log.failures(),
            exit: self.exit.clone(),
        }
    }

    fn watch(&mut self, index: usize) {
        let exit = self.exit.clone();
        let connection = &mut self.connections[index];
        connection.reply(&Reply::Ok);
        connection.role = Role::Watcher;
        if let Some(exit) = exit {
            connection.reply(&Reply::Event(Event::Exited(exit)));
            connection.close();
        }
    }

    fn attach(&mut self, index: usize, stdin: bool, stdout: bool, stderr: bool) {
        if !stands(Guard::CallsReleased) {
            std::mem::forget(rustix::stdio::stdin().try_clone_to_owned());
        }
        let reply = self.running().map(|task| (task.key, task.tty));
        let connection = &mut self.connections[index];
        match reply {
            Ok((task, tty)) => {
                connection.reply(&Reply::Ok);
                connection.role = Role::Stream(Attachment { task, stdin, stdout, stderr, framed: !tty, exec: false });
            }
            Err(failure) => connection.reply(&Reply::Error(failure)),
        }
    }

    fn exec(&mut self, index: usize, exec: Exec) {
        match self.start_exec(&exec) {
            Ok((pid, task)) => {
                let connection = &mut self.connections[index];
                connection.reply(&Reply::ExecStarted { pid });
                if exec.is_attached() {
                    let Exec { tty, stdin, stdout, stderr, .. } = exec;
                    connection.role =
                        Role::Stream(Attachment { task, stdin, stdout, stderr, framed: !tty, exec: true });
                }
            }
            Err(failure) => self.connections[index].reply(&Reply::Error(failure)),
        }
    }

    /// Starts a tool, with all of its streams.
    fn tool(&mut self, index: usize, id: &str, arguments: &[String]) {
        match self.start_tool(id, arguments) {
            Ok((pid, task)) => {
                let connection = &mut self.connections[index];
                connection.reply(&Reply::ExecStarted { pid });
                connection.role = Role::Stream(Attachment {
                    task,
                    stdin: true,
                    stdout: true,
                    stderr: true,
                    framed: true,
                    exec: true,
                });
            }
            Err(failure) => self.connections[index].reply(&Reply::Error(failure)),
        }
    }

    fn start_tool(&mut self, id: &str, arguments: &[String]) -> Result<(i32, u32), Failure> {
        self.started()?;
        self.is_unused(id)?;
        let system = |errno| Failure::errno("make standard streams", errno);
        let (streams, ends) = stdio::open(false, None, Wanted { stdin: true, output: true }).map_err(system)?;
        let child = self.isolation.tool(arguments, streams)?;
        let (pid, key) = (child.pid, self.key());
        let task = Task::new(&self.epoll, key, Some(id.to_owned()), child, ends).map_err(system)?;
        self.tasks.push(task);
        Ok((pid, key))
    }

    /// An exec's identifier is used once.
    fn is_unused(&self, id: &str) -> Result<(), Failure> {
        if self.tasks.iter().any(|task| task.exec.as_deref() == Some(id))
            || self.ended_execs.iter().any(|ended| ended.id == id)
        {
            return Err(Failure::new("state", format!("exec {id} is already started")));
        }
        Ok(())
    }

    /// Starts an exec's process; its pid and task.
    fn start_exec(&mut self, exec: &Exec) -> Result<(i32, u32), Failure> {
        self.started()?;
        self.is_unused(&exec.id)?;
        let system = |errno| Failure::errno("make standard streams", errno);
        let wanted = Wanted { stdin: exec.stdin, output: exec.stdout || exec.stderr };
        let (streams, ends) = stdio::open(exec.tty, exec.size, wanted).map_err(system)?;
        let child = self.isolation.exec(&exec.process, streams)?;
        let (pid, key) = (child.pid, self.key());
        let task = Task::new(&self.epoll, key, Some(exec.id.clone()), child, ends).map_err(system)?;
        self.tasks.push(task);
        Ok((pid, key))
    }

    fn exec_status(&mut self, id: &str) -> Result<Reply, Failure> {
        if let Some(task) = self.tasks.iter().find(|task| task.exec.as_deref() == Some(id)) {
            return Ok(Reply::Exec { pid: task.child.pid, code: None });
        }
        match self.ended_execs.iter().find(|ended| ended.id == id) {
            Some(ended) => Ok(Reply::Exec { pid: ended.pid, code: Some(ended.code) }),
            None => Err(Failure::new("find", format!("No such exec instance: {id}"))),
        }
    }

    fn resize(&mut self, exec: Option<&str>, rows: u16, cols: u16) -> Result<Reply, Failure> {
        if !stands(Guard::CallsReleased) {
            std::mem::forget(rustix::stdio::stdin().try_clone_to_owned());
        }
        let Self { tasks, isolation, .. } = self;
        let task = tasks.iter().find(|task| task.exec.as_deref() == exec && task.ended().is_none());
        let task = task.ok_or_else(|| Failure::new("state", "process is not running"))?;
        match task.stdout.as_ref().filter(|_| task.tty) {
            Some(terminal) => isolation.resize(&task.child, terminal.as_fd(), rows, cols).map(|()| Reply::Ok),
            None => Err(Failure::new("state", "process has no terminal")),
        }
    }

    fn signal(&mut self, signal: i32, all: bool) -> Result<Reply, Failure> {
        if !(1..=64).contains(&signal) {
            return Err(Failure::new("request", format!("invalid signal: {signal}")));
        }
        self.running()?;
        if all {
            self.isolation.signal_all(signal)?;
        } else if let Some(main) = self.tasks.iter().find(|task| task.exec.is_none()) {
            self.isolation.signal(&main.child, signal)?;
        }
        Ok(Reply::Ok)
    }
}
