//! Isolation by a virtual machine: a monitor in a jail, and in its guest an agent that runs the container.
//!
//! ```text
//! create   the jail with its gate: namespaces, cgroup, mounts; whoever serves directories
//!            (the daemon joins the jail's network namespace to its networks, and makes taps)
//! release  the monitor runs ─► the agent calls ─► set-up ─► container in the guest ─► its program runs
//! turn     bytes of streams, ends of processes
//! clear    the monitor is killed: the guest has nothing more to say
//! ```
//!
//! The main process's pid is the monitor's, so that whatever the engine knows of a container by its pid or its control
//! group — network, limits, freezing, usage — is true of the machine.

mod channel;
mod console;
pub mod network;
mod start;
pub mod template;
pub mod tool;

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    path::{Path, PathBuf},
    time::Duration,
};

use berth_runtime::{Bundle, Container, Created};
use berth_vm::{
    link::Link,
    message::{Answer, Exec, MAIN, Request, Terminal},
    plan::Plan,
};
use oci_spec::runtime::{Process, Spec};
use rustix::{
    event::{EventfdFlags, eventfd},
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
    time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec},
};

use self::console::Console;
use super::{Child, Ended, Isolation, Stdio};
use crate::protocol::{About, Failure};

/// A guest that was asked to kill its container is believed so long.
const KILL_LIMIT_S: i64 = 3;
/// The guest's agent answers within this time, on a busy machine with an interpreted guest.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Tokens of descriptors that are no process's.
const PIDFD: u32 = u32::MAX;
const CONSOLE: u32 = u32::MAX - 1;
const TIMER: u32 = u32::MAX - 2;

/// A process in the guest.
struct Guest {
    /// Tells the supervisor of its end.
    signal: OwnedFd,
    /// Known to the supervisor by this number.
    raw: RawFd,
    /// Told by the agent.
    told: Option<Ended>,
    /// Its output was written, and its end told.
    ended: Option<Ended>,
}

/// See the module.
pub struct Machine {
    bundle: PathBuf,
    plan: Plan,
    spec: Spec,
    /// The container's own streams, from `create` to `release`.
    stdio: Option<(Streams, Option<Terminal>)>,
    gate: Option<Box<Created>>,
    jail: Option<Container>,
    listener: Option<OwnedFd>,
    /// Who serves directories.
    helpers: Vec<OwnedFd>,
    link: Option<Link>,
    console: Console,
    timer: Option<OwnedFd>,
    processes: BTreeMap<u32, Guest>,
    next_key: u32,
    guest_kills: u64,
    oom: Option<OwnedFd>,
    setup: start::Gathered,
    becomes_template: bool,
}

/// The supervisor's descriptors for one process: what is read for its input, and where its outputs go.
struct Streams {
    input: OwnedFd,
    output: OwnedFd,
    error: Option<OwnedFd>,
}

impl Machine {
    /// Whether a bundle is a machine's.
    #[must_use]
    pub fn is_in(bundle: &Path) -> bool {
        Plan::is_in(bundle)
    }

    /// Reads a bundle; also tells whether the container has a terminal.
    ///
    /// # Errors
    /// What is wrong with the bundle.
    pub fn load(bundle: &Path) -> Result<(Self, bool), Failure> {
        let plan = Plan::read(bundle).map_err(|error| failed("bundle", &error))?;
        let Bundle { spec, .. } = Bundle::load(bundle).map_err(|error| failed("bundle", &error))?;
        let tty = spec.process().as_ref().and_then(Process::terminal).unwrap_or(false);
        Ok((Self::of(bundle, plan, spec), tty))
    }

    fn of(bundle: &Path, plan: Plan, spec: Spec) -> Self {
        Self {
            bundle: bundle.to_owned(),
            plan,
            spec,
            stdio: None,
            gate: None,
            jail: None,
            listener: None,
            helpers: Vec::new(),
            link: None,
            console: Console::default(),
            timer: None,
            processes: BTreeMap::new(),
            next_key: MAIN,
            guest_kills: 0,
            oom: None,
            setup: start::Gathered::default(),
            becomes_template: false,
        }
    }

    /// A process as the supervisor sees it.
    fn child(&mut self, key: u32, pid: i32, terminal: Option<OwnedFd>) -> Result<Child, Failure> {
        let system = |errno| Failure::errno("watch a process of the guest", errno);
        let signal = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(system)?;
        let ended = signal.try_clone().map_err(|error| failed("watch a process of the guest", &error))?;
        self.processes.insert(key, Guest { signal, raw: ended.as_raw_fd(), told: None, ended: None });
        Ok(Child { pid, ended, terminal })
    }

    fn key_of(&self, child: &Child) -> Option<u32> {
        let raw = child.ended.as_raw_fd();
        self.processes.iter().find(|(_, process)| process.raw == raw).map(|(key, _)| *key)
    }

    /// Starts a process in the guest.
    fn run(&mut self, stdio: Stdio, request: impl FnOnce(u32, Option<Terminal>) -> Request) -> Result<Child, Failure> {
        self.is_awake()?;
        let (streams, terminal, theirs) = streams_of(stdio)?;
        self.next_key += 1;
        let key = self.next_key;
        let input = self.connect_outputs(key, streams)?;
        // Known before it is asked for: its end may be told together with its beginning.
        let child = self.child(key, 0, theirs)?;
        let failure = match self.request(request(key, terminal), ANSWER_LIMIT) {
            Ok(Answer::Started { pid }) => {
                self.connect_input(key, input, terminal.is_some())?;
                return Ok(Child { pid, ..child });
            }
            Ok(_) => Failure::new("guest", "the guest gave another answer than was asked for"),
            Err(failure) => failure,
        };
        self.disconnect(key);
        self.processes.remove(&key);
        Err(failure)
    }

    /// A machine that is paused answers nothing.
    fn is_awake(&self) -> Result<(), Failure> {
        if self.is_frozen() {
            return Err(Failure::new("state", "container is paused, unpause the container before exec"));
        }
        Ok(())
    }

    /// Kills the monitor; what the guest has not said by now it never will.
    fn kill_monitor(&mut self) {
        let container = self.jail.as_ref().or(self.gate.as_ref().map(|gate| &gate.container));
        if let Some(container) = container {
            match &container.cgroup {
                Some(cgroup) => drop(cgroup.kill_all()),
                None => drop(berth_sys::pidfd::send_signal(container.pidfd.as_fd(), libc::SIGKILL)),
            }
        }
    }

    fn arm_kill_timer(&mut self) {
        let Some(link) = self.link.as_mut().filter(|_| self.timer.is_none()) else { return };
        let mut make = || {
            let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
            let never = Timespec { tv_sec: 0, tv_nsec: 0 };
            let after = Timespec { tv_sec: KILL_LIMIT_S, tv_nsec: 0 };
            let value = Itimerspec { it_interval: never, it_value: after };
            rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &value)?;
            link.mux.watch(timer.as_fd(), TIMER)?;
            Ok::<_, rustix::io::Errno>(timer)
        };
        match make() {
            Ok(timer) => self.timer = Some(timer),
            // Without a timer nobody may wait for the guest.
            Err(_) => self.kill_monitor(),
        }
    }
}

impl Isolation for Machine {
    fn create(&mut self, stdio: Stdio) -> Result<Child, Failure> {
        let (streams, terminal, theirs) = streams_of(stdio)?;
        self.stdio = Some((streams, terminal));
        let pid = self.make_jail()?;
        self.child(MAIN, pid, theirs)
    }

    fn release(&mut self) -> Result<(), Failure> {
        let outcome = self.start();
        if outcome.is_err() {
            // Nobody will turn the channel of a machine that was not released.
            self.kill_monitor();
            self.lose(Ended::Signal(libc::SIGKILL));
        }
        outcome.map_err(|failure| match failure.step.as_str() {
            "guest" => Failure { message: format!("{}{}", failure.message, self.console.tail()), ..failure },
            _ => failure,
        })
    }

    fn exec(&mut self, process: &Process, stdio: Stdio) -> Result<Child, Failure> {
        self.run(stdio, |key, terminal| Request::Exec(Box::new(Exec { key, process: process.clone(), terminal })))
    }

    fn tool(&mut self, arguments: &[String], stdio: Stdio) -> Result<Child, Failure> {
        self.run(stdio, |key, _| Request::Tool { key, arguments: arguments.to_vec() })
    }

    fn ask(&mut self, about: &About) -> Result<serde_json::Value, Failure> {
        self.is_awake()?;
        let request = match about {
            About::Usage => Request::Usage,
            About::Processes => Request::Processes,
            About::Limits(limits) => Request::Update(limits.clone()),
        };
        let told = match self.request(request, ANSWER_LIMIT)? {
            Answer::Usage(usage) => serde_json::to_value(usage),
            Answer::Processes(processes) => serde_json::to_value(processes),
            _ => return Ok(serde_json::Value::Null),
        };
        told.map_err(|error| failed("guest", &error))
    }

    fn collect(&mut self, child: &Child) -> Option<Ended> {
        let key = self.key_of(child)?;
        let ended = self.processes.get(&key)?.ended?;
        if key != MAIN {
            self.processes.remove(&key);
        }
        Some(ended)
    }

    fn signal(&mut self, child: &Child, signal: i32) -> Result<(), Failure> {
        let key = self.key_of(child).ok_or_else(|| Failure::new("state", "process is not running"))?;
        if key == MAIN && signal == libc::SIGKILL {
            return self.signal_all(signal);
        }
        self.request(Request::Signal { key: Some(key), signal }, ANSWER_LIMIT).map(drop)
    }

    fn signal_all(&mut self, signal: i32) -> Result<(), Failure> {
        if signal != libc::SIGKILL {
            return self.request(Request::Signal { key: None, signal }, ANSWER_LIMIT).map(drop);
        }
        // The guest is asked first, so that what was written reaches its disk; it is not waited for.
        match &mut self.link {
            Some(link) if !self.processes.is_empty() => {
                link.send(Request::Signal { key: None, signal });
                self.arm_kill_timer();
                self.turn();
            }
            _ => {
                self.kill_monitor();
                self.lose(Ended::Signal(signal));
            }
        }
        Ok(())
    }

    fn resize(&mut self, child: &Child, _terminal: BorrowedFd<'_>, rows: u16, cols: u16) -> Result<(), Failure> {
        let key = self.key_of(child).ok_or_else(|| Failure::new("state", "process is not running"))?;
        self.request(Request::Resize { key, rows, cols }, ANSWER_LIMIT).map(drop)
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.link.as_ref().map(|link| link.mux.descriptor())
    }

    fn turn(&mut self) {
        // A channel that fails is the end of the machine, which `pump` has noted.
        let _ = self.pump(Duration::ZERO);
    }

    fn oom_watch(&mut self) -> Option<OwnedFd> {
        let watch = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
        self.oom = watch.try_clone().ok();
        Some(watch)
    }

    fn oom_kills(&mut self) -> u64 {
        let own = self.jail.as_ref().and_then(|jail| jail.cgroup.as_ref());
        self.guest_kills + own.and_then(|cgroup| cgroup.oom_kills().ok()).unwrap_or(0)
    }

    fn clear(&mut self) {
        self.kill_monitor();
        // The helpers first: the first process of a pid namespace ends when all others have been collected.
        for helper in self.helpers.drain(..) {
            let _ = berth_sys::pidfd::wait(helper.as_fd());
        }
        if let Some(jail) = &self.jail {
            let _ = berth_sys::pidfd::wait(jail.pidfd.as_fd());
        }
    }

    fn remove(&mut self) {
        // A cgroup that stays is found and removed by whoever removes the container.
        if let Some(cgroup) = self.jail.as_ref().and_then(|jail| jail.cgroup.as_ref()) {
            let _ = cgroup.remove();
        }
        for directory in [self.bundle.join("jail"), berth_vm::jail::run_dir(&self.bundle)] {
            // It goes with the bundle otherwise.
            let _ = std::fs::remove_dir_all(directory);
        }
    }
}

/// Our ends of a process's streams, and the supervisor's end of its terminal.
fn streams_of(stdio: Stdio) -> Result<(Streams, Option<Terminal>, Option<OwnedFd>), Failure> {
    match stdio {
        Stdio::Pipes { stdin, stdout, stderr } => {
            Ok((Streams { input: stdin, output: stdout, error: Some(stderr) }, None, None))
        }
        Stdio::Terminal { size } => {
            let make = || {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
                let copy = rustix::io::fcntl_dupfd_cloexec(&ours, 3)?;
                Ok((Streams { input: copy, output: ours, error: None }, theirs))
            };
            let (streams, theirs) = make().map_err(|errno| Failure::errno("make a terminal", errno))?;
            Ok((streams, Some(Terminal { size }), Some(theirs)))
        }
    }
}

/// An error with its causes.
fn failed(step: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    told(berth_vm::message::Failure::of(step, error))
}

/// What the guest, or its link, said.
fn told(failure: berth_vm::message::Failure) -> Failure {
    Failure { step: failure.step, errno: failure.errno, message: failure.message }
}

/// What a report says of a process's end.
fn ended(code: Option<i32>, signal: Option<i32>) -> Ended {
    match (code, signal) {
        (_, Some(signal)) => Ended::Signal(signal),
        (code, None) => Ended::Code(code.unwrap_or(255)),
    }
}
