//! The keeper's own process, from its start to the monitor's.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use berth_runtime::{Container, Created, Stdio};
use berth_supervisor::isolation::vm::network;
use berth_vm::jail::{self, Confined};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pipe::PipeFlags,
};
use serde_json::Value;

use super::{
    SOCKET, Short,
    connection::Connection,
    event_loop::Keeper,
    protocol::{LINE_BYTES_MAX, Plan, Reply, Request, line, take},
    qmp::Qmp,
};
use crate::error::sentence;

/// In the jail's directory of sockets: control.
pub const QMP: &str = "qmp.sock";
/// In the jail's directory of sockets: the serial port.
pub const CONSOLE: &str = "console.sock";
/// A monitor calls within this time.
const CALL_LIMIT: Duration = Duration::from_secs(30);
/// So much of a monitor's last words is shown, in bytes.
const WORDS_BYTES: usize = 4096;

/// Keeps the machine of a run directory until it has ended. Standard input is the daemon's socket.
pub fn main(run: &Path) -> ExitCode {
    let mut daemon = match prepare() {
        Ok(daemon) => daemon,
        Err(error) => {
            eprintln!("berth keep: {error}");
            return ExitCode::from(125);
        }
    };
    let mut gate = match Gate::make(run) {
        Ok(gate) => gate,
        Err(reason) => {
            say(&mut daemon, &Reply::Failed(reason));
            return ExitCode::FAILURE;
        }
    };
    say(&mut daemon, &Reply::Ready { pid: gate.created.container.pid });
    if !is_told_to_start(&mut daemon) {
        // The daemon has changed its mind, or is dead: there never was a machine.
        gate.clear();
        return ExitCode::FAILURE;
    }
    match gate.open(run) {
        Ok(mut keeper) => {
            say(&mut daemon, &Reply::Done(Value::Null));
            drop(daemon);
            keeper.run();
            ExitCode::SUCCESS
        }
        Err(reason) => {
            say(&mut daemon, &Reply::Failed(reason));
            ExitCode::FAILURE
        }
    }
}

/// Leaves the daemon's session and signals; returns its socket.
fn prepare() -> Result<UnixStream, String> {
    // Fails only for a process that leads a group already.
    let _ = berth_sys::process::new_session();
    let _ = berth_sys::process::set_name(c"berth-keep");
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGPIPE] {
        berth_sys::process::ignore_signal(signal).map_err(|errno| format!("cannot ignore signals: {errno}"))?;
    }
    let socket = rustix::stdio::stdin().try_clone_to_owned().map_err(|error| error.to_string())?;
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty()).map_err(|errno| errno.to_string())?;
    rustix::stdio::dup2_stdin(&null).map_err(|errno| errno.to_string())?;
    Ok(UnixStream::from(socket))
}

/// With the daemon gone there is nobody to tell.
fn say(daemon: &mut UnixStream, reply: &Reply) {
    let _ = daemon.write_all(&line(reply));
}

fn is_told_to_start(daemon: &mut UnixStream) -> bool {
    let (mut came, mut buffer) = (Vec::new(), [0; 4096]);
    while came.len() < LINE_BYTES_MAX {
        match daemon.read(&mut buffer) {
            Ok(0) | Err(_) => return false,
            Ok(read) => came.extend_from_slice(&buffer[..read]),
        }
        if let Some(request) = take::<Request>(&mut came) {
            return request == Some(Request::Start);
        }
    }
    false
}

/// A monitor that waits at its gate.
struct Gate {
    plan: Plan,
    run: PathBuf,
    created: Created,
    qmp: UnixListener,
    console: UnixListener,
    words: OwnedFd,
}

impl Gate {
    fn make(run: &Path) -> Result<Self, String> {
        let plan = Plan::read(run).map_err(|error| format!("cannot read the plan: {error}"))?;
        let outcome = Self::make_jail(run, plan);
        if outcome.is_err() {
            sweep(run);
        }
        outcome
    }

    fn make_jail(run: &Path, plan: Plan) -> Result<Self, String> {
        let confined = Confined {
            arguments: &plan.arguments,
            files: &plan.files,
            devices: &plan.devices,
            ids: plan.ids,
            cgroup: &plan.cgroup,
            host_network: plan.host_network,
            locked_bytes: plan.locked_bytes,
        };
        let bundle = jail::confined(run, &confined).map_err(|error| sentence(&error))?;
        let sockets = jail::run_dir(run);
        let (qmp, console) = (listen(&sockets, QMP)?, listen(&sockets, CONSOLE)?);
        let (words, theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .map_err(|errno| format!("cannot make a pipe: {errno}"))?;
        let input = plan.state.clone().unwrap_or_else(|| "/dev/null".into());
        let input = fs::File::open(&input).map_err(|error| format!("cannot open {}: {error}", input.display()))?;
        let streams = Stdio::Streams { stdin: input.as_fd(), stdout: theirs.as_fd(), stderr: theirs.as_fd() };
        let created = berth_runtime::create(&bundle, streams).map_err(|error| sentence(&error))?;
        Ok(Self { plan, run: run.to_owned(), created, qmp, console, words })
    }

    fn open(mut self, run: &Path) -> Result<Keeper, String> {
        match self.release(run) {
            Ok((qmp, console, listener)) => {
                let Self { plan, run, created, words, .. } = self;
                Ok(Keeper::new(plan, run, created.container, qmp, console, words, listener))
            }
            Err(reason) => {
                self.clear();
                let words = last_words(&self.words);
                Err(if words.is_empty() { reason } else { format!("{reason}; its last words: {words}") })
            }
        }
    }

    fn release(&mut self, run: &Path) -> Result<(Qmp, Connection, UnixListener), String> {
        let (container, taps) = (&self.created.container, self.plan.taps);
        if taps > 0 {
            network::pass_on(container.pid, self.plan.ids.0, taps).map_err(|failure| failure.message)?;
        }
        self.created.release().map_err(|error| sentence(&error))?;
        let io = |error: std::io::Error| format!("cannot connect to the monitor: {error}");
        let console = accept(&self.console, container)?;
        let console = Connection::over(console).map_err(io)?;
        let qmp = Qmp::over(accept(&self.qmp, container)?).map_err(io)?;
        let listener = listen(run, SOCKET)?;
        Ok((qmp, console, listener))
    }

    fn clear(&mut self) {
        end(&self.created.container);
        sweep(&self.run);
    }
}

/// Kills and collects a monitor, and removes its control group.
pub fn end(container: &Container) {
    kill(container);
    let _ = berth_sys::pidfd::wait(container.pidfd.as_fd());
    if let Some(cgroup) = &container.cgroup {
        // One that stays is removed with the machine's next start, or by whoever cleans up.
        let _ = cgroup.remove();
    }
}

/// Kills a monitor.
pub fn kill(container: &Container) {
    match &container.cgroup {
        Some(cgroup) => drop(cgroup.kill_all()),
        None => drop(berth_sys::pidfd::send_signal(container.pidfd.as_fd(), libc::SIGKILL)),
    }
}

/// Removes what is of no use without a monitor.
pub fn sweep(run: &Path) {
    for directory in [run.join("jail"), jail::run_dir(run)] {
        // The daemon removes the whole when it notices.
        let _ = fs::remove_dir_all(directory);
    }
    let _ = fs::remove_file(run.join(SOCKET));
}

/// The last words of a monitor, in one line.
pub fn last_words(words: &OwnedFd) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = rustix::io::read(words, &mut buffer[..]) {
        text.extend_from_slice(&buffer[..read]);
        let excess = text.len().saturating_sub(WORDS_BYTES);
        text.drain(..excess);
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").chars().filter(|sign| !sign.is_control()).collect()
}

/// The monitor is another user, and only root gets into the directories.
fn listen(directory: &Path, name: &str) -> Result<UnixListener, String> {
    let make = || {
        let path = Short::of(directory)?.join_owned(name);
        let _ = fs::remove_file(directory.join(name));
        let listener = UnixListener::bind(path.1)?;
        fs::set_permissions(directory.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
        // A caller that left before it was heard must not be waited for.
        listener.set_nonblocking(true)?;
        Ok::<_, std::io::Error>(listener)
    };
    make().map_err(|error| format!("cannot listen at {}: {error}", directory.join(name).display()))
}

/// The monitor's call, or why there is none.
fn accept(listener: &UnixListener, container: &Container) -> Result<UnixStream, String> {
    let mut sets = [PollFd::new(listener, PollFlags::IN), PollFd::new(&container.pidfd, PollFlags::IN)];
    let limit = Timespec { tv_sec: CALL_LIMIT.as_secs() as i64, tv_nsec: 0 };
    poll(&mut sets, Some(&limit)).map_err(|errno| format!("cannot wait for the monitor: {errno}"))?;
    if sets[0].revents().contains(PollFlags::IN) {
        return listener.accept().map(|(stream, _)| stream).map_err(|error| error.to_string());
    }
    let what = if sets[1].revents().is_empty() { "does not run" } else { "has ended at once" };
    Err(format!("the monitor {what}"))
}

impl Short {
    /// The path together with what it needs to stay valid.
    fn join_owned(self, name: &str) -> (Self, PathBuf) {
        let path = self.join(name);
        (self, path)
    }
}
