//! Bytes and news between the supervisor and the guest.

use std::{
    os::fd::{AsFd, OwnedFd},
    time::{Duration, Instant},
};

use berth_vm::message::{Answer, MAIN, Report, Request, streams};

use super::{CONSOLE, Ended, Failure, Machine, PIDFD, Streams, TIMER, ended, told};

impl Machine {
    /// Asks the guest, and waits for the answer.
    pub(super) fn request(&mut self, request: Request, limit: Duration) -> Result<Answer, Failure> {
        let lost = || Failure::new("state", "container is not running");
        let ticket = self.link.as_mut().ok_or_else(lost)?.send(request);
        let deadline = Instant::now() + limit;
        loop {
            if let Some(answer) = self.link.as_mut().ok_or_else(lost)?.answer(ticket).map_err(told)? {
                return Ok(answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let text = format!("the virtual machine did not answer within {} s", limit.as_secs());
                return Err(Failure::new("guest", text));
            }
            self.pump(left)?;
        }
    }

    /// Carries bytes and takes reports, waiting at most `timeout` for any.
    pub(super) fn pump(&mut self, timeout: Duration) -> Result<(), Failure> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let outcome = link.turn(Some(timeout));
        let ready = link.mux.ready();
        while let Some(report) = self.link.as_mut().and_then(berth_vm::link::Link::report) {
            self.note(&report);
        }
        self.settle();
        if ready.contains(&CONSOLE) && !self.console.read() {
            self.unwatch_console();
        }
        if ready.contains(&TIMER) {
            self.kill_monitor();
        }
        if ready.contains(&PIDFD) {
            self.lose(Ended::Signal(libc::SIGKILL));
            return Err(Failure::new("guest", "the virtual machine has ended"));
        }
        outcome.map_err(|failure| {
            self.kill_monitor();
            self.lose(Ended::Signal(libc::SIGKILL));
            told(failure)
        })
    }

    /// Joins a process's outputs; returns what its input will be read from.
    pub(super) fn connect_outputs(&mut self, key: u32, of: Streams) -> Result<OwnedFd, Failure> {
        let system = |errno| Failure::errno("connect the streams", errno);
        let link = self.link.as_mut().ok_or_else(|| Failure::new("state", "container is not running"))?;
        let [_, stdout, stderr] = streams(key);
        link.mux.add_sink(stdout, of.output).map_err(system)?;
        if let Some(error) = of.error {
            link.mux.add_sink(stderr, error).map_err(system)?;
        }
        Ok(of.input)
    }

    /// Joins a process's input. Not before the guest has the process: bytes for nobody are thrown away there.
    pub(super) fn connect_input(&mut self, key: u32, input: OwnedFd, terminal: bool) -> Result<(), Failure> {
        let link = self.link.as_mut().ok_or_else(|| Failure::new("state", "container is not running"))?;
        let outcome = link.mux.add_source(streams(key)[0], input, terminal);
        outcome.map_err(|errno| Failure::errno("connect the streams", errno))
    }

    /// Forgets a process's streams.
    pub(super) fn disconnect(&mut self, key: u32) {
        let Some(link) = &mut self.link else { return };
        let [stdin, stdout, stderr] = streams(key);
        link.mux.end_source(stdin);
        link.mux.end_sink(stdout);
        link.mux.end_sink(stderr);
    }

    fn note(&mut self, report: &Report) {
        match report {
            Report::Exited { key, code, signal } => {
                if let Some(process) = self.processes.get_mut(key) {
                    process.told.get_or_insert(ended(*code, *signal));
                }
            }
            Report::OutOfMemory { kills } => {
                self.guest_kills = self.guest_kills.max(*kills);
                if let Some(oom) = &self.oom {
                    let _ = rustix::io::write(oom, &1_u64.to_ne_bytes());
                }
            }
            Report::Answer { .. } => {}
        }
    }

    /// Tells the ends of processes whose output has been written.
    fn settle(&mut self) {
        let Self { processes, link, .. } = self;
        let mut finished = Vec::new();
        for (key, process) in processes.iter_mut() {
            let Some(how) = process.told.filter(|_| process.ended.is_none()) else { continue };
            let [_, stdout, stderr] = streams(*key);
            let writing = link.as_ref().is_some_and(|link| link.mux.is_writing(stdout) || link.mux.is_writing(stderr));
            if !writing {
                process.ended = Some(how);
                let _ = rustix::io::write(&process.signal, &1_u64.to_ne_bytes());
                finished.push(*key);
            }
        }
        for key in finished {
            self.disconnect(key);
        }
    }

    /// The machine is gone: everything in it has ended.
    pub(super) fn lose(&mut self, how: Ended) {
        if let Some(link) = &mut self.link {
            for process in self.jail.iter() {
                link.mux.unwatch(process.pidfd.as_fd());
            }
        }
        for process in self.processes.values_mut() {
            process.told.get_or_insert(how);
        }
        if let Some(link) = &mut self.link {
            for key in self.processes.keys() {
                for stream in streams(*key) {
                    link.mux.end_sink(stream);
                }
            }
        }
        self.settle();
    }

    fn unwatch_console(&mut self) {
        if let (Some(link), Some(pipe)) = (&mut self.link, self.console.pipe.take()) {
            link.mux.unwatch(pipe.as_fd());
        }
    }

    /// Whether the monitor was stopped by its control group.
    pub(super) fn is_frozen(&self) -> bool {
        let cgroup = self.jail.as_ref().and_then(|jail| jail.cgroup.as_ref());
        cgroup.is_some_and(|cgroup| cgroup.is_frozen().unwrap_or(false)) && !self.processes.is_empty()
    }

    /// The main process's number for the guest.
    pub(super) const fn main_key() -> u32 {
        MAIN
    }
}
