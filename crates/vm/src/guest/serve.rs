//! The guest's loop: requests of the host, and the ends of processes.
//!
//! ```text
//! a process: running ─pidfd readable─► draining ─outputs at their end, or quiet for 50 ms─► Exited is sent
//! ```

use std::{
    os::fd::{AsFd as _, OwnedFd},
    time::{Duration, Instant},
};

use berth_sys::pidfd::Ended;

use super::{setup, workload::Workload};
use crate::{
    Error, Result,
    message::{Answer, Failure, MAIN, ProcessLine, Report, Request, Ticketed, Usage, streams},
    mux::{Broken, Mux},
};

/// No output for so long after the end of a process: there will be none.
const QUIET: Duration = Duration::from_millis(50);
/// A terminal that nobody has open is looked at again after so long.
const TERMINAL_REST: Duration = Duration::from_millis(50);
/// How often kills for want of memory are looked for while a container runs.
const OOM_LOOK: Duration = Duration::from_millis(500);

/// A guest whose host is gone for so long ends.
const ALONE: Duration = Duration::from_secs(30);

/// A process that has ended while its output is still being sent.
struct Ending {
    key: u32,
    ended: Ended,
    quiet_at: Instant,
}

/// See the module.
pub(super) struct Guest {
    mux: Mux,
    workload: Workload,
    ending: Vec<Ending>,
    oom_told: u64,
    oom_look: Instant,
    alone_since: Option<Instant>,
}

impl Guest {
    pub fn new(port: OwnedFd) -> Result<Self> {
        let mux = Mux::new(port).map_err(Error::system("watch the port"))?;
        Ok(Self {
            mux,
            workload: Workload::default(),
            ending: Vec::new(),
            oom_told: 0,
            oom_look: Instant::now(),
            alone_since: None,
        })
    }

    /// Serves until the host closes the port.
    pub fn run(mut self) -> Result<()> {
        loop {
            match self.mux.turn(self.timeout()) {
                Ok(()) => {}
                // The host is not there just now: a template is being taken, or was restored.
                Err(Broken::Closed) if self.alone_since.get_or_insert_with(Instant::now).elapsed() < ALONE => {
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
                // Nobody will ever ask again.
                Err(Broken::Closed) => return Ok(()),
                Err(error) => return Err(Error::Guest(error.to_string())),
            }
            self.alone_since = None;
            self.mux.wake();
            for key in self.mux.ready() {
                self.collect(key);
            }
            while let Some(message) = self.mux.message() {
                match serde_json::from_slice::<Ticketed>(&message) {
                    Ok(asked) => self.answer(asked),
                    Err(error) => return Err(Error::Guest(format!("was asked what it does not understand: {error}"))),
                }
            }
            self.settle();
        }
    }

    fn timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let quiet = self.ending.iter().map(|ending| ending.quiet_at.saturating_duration_since(now));
        let rest = self.mux.rests().then_some(TERMINAL_REST);
        let oom = (!self.workload.processes.is_empty()).then(|| self.oom_look.saturating_duration_since(now));
        quiet.chain(rest).chain(oom).min()
    }

    fn answer(&mut self, asked: Ticketed) {
        let outcome = self.act(asked.request);
        let answer = outcome.unwrap_or_else(Answer::Failed);
        self.mux.send(&Report::Answer { ticket: asked.ticket, answer });
    }

    fn act(&mut self, request: Request) -> std::result::Result<Answer, Failure> {
        let Self { mux, workload, .. } = self;
        match request {
            Request::Setup(wanted) => {
                setup::all(&wanted).map(|()| Answer::Done).map_err(|error| Failure::of("set up the guest", &error))
            }
            Request::Create(create) => workload.create(*create, mux).map(|pid| Answer::Started { pid }),
            Request::Release => workload.release().map(|()| Answer::Done),
            Request::Exec(exec) => workload.exec(&exec, mux).map(|pid| Answer::Started { pid }),
            Request::Signal { key, signal } => workload.signal(key, signal).map(|()| Answer::Done),
            Request::Resize { key, rows, cols } => {
                let process = workload.processes.get(&key);
                if let Some(terminal) = process.and_then(|process| process.terminal.as_ref()) {
                    berth_sys::pty::resize(terminal.as_fd(), rows, cols)
                        .map_err(|errno| Failure::of("resize the terminal", &std::io::Error::from(errno)))?;
                }
                Ok(Answer::Done)
            }
            Request::Usage => usage(workload),
            Request::Processes => Ok(Answer::Processes(workload.pids().into_iter().filter_map(process_line).collect())),
            Request::Tool { key, arguments } => workload.tool(key, &arguments, mux).map(|pid| Answer::Started { pid }),
            Request::Update(limits) => workload.update(&limits).map(|()| Answer::Done),
            Request::Sync => {
                rustix::fs::sync();
                Ok(Answer::Done)
            }
        }
    }

    /// A process has ended.
    fn collect(&mut self, key: u32) {
        let Some(process) = self.workload.processes.get(&key) else { return };
        let Ok(Some(ended)) = berth_sys::pidfd::try_wait(process.pidfd.as_fd()) else { return };
        self.mux.unwatch(process.pidfd.as_fd());
        if key == MAIN {
            self.workload.clear();
        }
        self.ending.push(Ending { key, ended, quiet_at: Instant::now() + QUIET });
    }

    /// Tells the ends of processes whose output was sent, and kills for want of memory.
    fn settle(&mut self) {
        let mut index = 0;
        while index < self.ending.len() {
            let key = self.ending[index].key;
            let outputs = [streams(key)[1], streams(key)[2]];
            let mut came = false;
            for stream in outputs {
                came |= self.mux.drain_source(stream);
            }
            let now = Instant::now();
            if came {
                self.ending[index].quiet_at = now + QUIET;
            }
            // A terminal whose programs are gone only rests, and has nothing more to say.
            let over = outputs.iter().all(|stream| !self.mux.has_source(*stream)) || self.mux.rests();
            if over || now >= self.ending[index].quiet_at {
                let ending = self.ending.swap_remove(index);
                self.finish(&ending);
            } else {
                index += 1;
            }
        }
        if Instant::now() >= self.oom_look {
            self.oom_look = Instant::now() + OOM_LOOK;
            self.tell_kills();
        }
    }

    fn finish(&mut self, ending: &Ending) {
        let [stdin, stdout, stderr] = streams(ending.key);
        self.mux.end_sink(stdin);
        for stream in [stdout, stderr] {
            if self.mux.has_source(stream) {
                self.mux.end_source(stream);
            }
        }
        self.workload.processes.remove(&ending.key);
        if ending.key == MAIN {
            self.tell_kills();
            // The machine is ended as soon as the host knows.
            rustix::fs::sync();
        }
        let (code, signal) = match ending.ended {
            Ended::Code(code) => (Some(code), None),
            Ended::Signal(signal) => (None, Some(signal)),
        };
        self.mux.send(&Report::Exited { key: ending.key, code, signal });
    }

    fn tell_kills(&mut self) {
        let kills = self.workload.cgroup().and_then(|cgroup| cgroup.oom_kills().ok()).unwrap_or(0);
        if kills > self.oom_told {
            self.oom_told = kills;
            self.mux.send(&Report::OutOfMemory { kills });
        }
    }
}

fn usage(workload: &Workload) -> std::result::Result<Answer, Failure> {
    let stats = workload.cgroup().map(berth_runtime::cgroup::Cgroup::stats).transpose();
    let stats = stats.map_err(|error| Failure::of("read the usage", &error))?.unwrap_or_default();
    Ok(Answer::Usage(Box::new(Usage {
        memory: stats.memory_json(),
        pids: stats.pids_json(),
        block: stats.blkio_json(),
        cpu: stats.cpu_json(),
    })))
}

/// proc_pid_stat(5).
fn process_line(pid: i32) -> Option<ProcessLine> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<u64> = rest.split_whitespace().skip(1).map(|field| field.parse().unwrap_or(0)).collect();
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
    let facts = rustix::fs::stat(format!("/proc/{pid}")).ok()?;
    let up_s = rustix::time::clock_gettime(rustix::time::ClockId::Boottime).tv_sec;
    Some(ProcessLine {
        pid,
        uid: facts.st_uid,
        parent: i32::try_from(*fields.first()?).unwrap_or(0),
        ticks: fields.get(10)? + fields.get(11)?,
        age_s: (up_s as u64).saturating_sub(*fields.get(18)? / 100),
        terminal: i64::try_from(*fields.get(3)?).unwrap_or(0),
        command: if command.is_empty() { format!("[{name}]") } else { command },
    })
}
