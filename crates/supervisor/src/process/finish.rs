//! The ends: of execs, of the container, of the supervisor.
//!
//! ```text
//! exec ended, output read ─► code remembered ─► watchers told ─► its stream closed
//! main ended, output read, execs gone ─► log closed ─► exit.json ─► cgroup removed ─► watchers told ─► streams closed
//! ```

use std::time::{Duration, Instant};

use berth_kit::{crash, time::Timestamp};

use super::{
    event_loop::{EndedExec, REMEMBERED_EXECS, Supervisor},
    task::Task,
};
use crate::{ExitRecord, isolation::Ended, protocol::Event};

/// Execs die with the container; they are waited for so long.
const EXECS_LIMIT: Duration = Duration::from_secs(1);
/// Clients that have not taken everything are waited for so long.
const LINGER_LIMIT: Duration = Duration::from_secs(10);

impl Supervisor {
    /// Finishes every task that has nothing left to read.
    pub(super) fn finish_tasks(&mut self, now: Instant) {
        while let Some(index) = self.tasks.iter().position(|task| task.exec.is_some() && task.is_finished(now)) {
            self.read_rest(self.tasks[index].key);
            let task = self.tasks.swap_remove(index);
            self.finish_exec(&task);
        }
        let alone = self.tasks.len() == 1 || self.execs_deadline().is_some_and(|deadline| now >= deadline);
        if let Some(main) = self.tasks.iter().position(|task| task.exec.is_none() && task.is_finished(now))
            && alone
        {
            self.read_rest(self.tasks[main].key);
            let main = self.tasks.swap_remove(main);
            self.finish_container(&main);
        }
    }

    fn finish_exec(&mut self, task: &Task) {
        let code = task.ended().map_or(-1, Ended::shell_code);
        let id = task.exec.clone().unwrap_or_default();
        if self.ended_execs.len() == REMEMBERED_EXECS {
            self.ended_execs.pop_front();
        }
        self.ended_execs.push_back(EndedExec { id: id.clone(), pid: task.child.pid, code });
        self.tell(&Event::ExecExited { id, code });
        self.close_streams(task.key);
    }

    fn finish_container(&mut self, task: &Task) {
        self.forget_log_wait();
        self.log.finish();
        crash::point("supervisor");
        self.tell_oom();
        let record = self.exit_record(task.ended());
        // With no room for the record it still reaches whoever watches, and the status.
        let _ = record.write(&self.bundle);
        // Before anybody is told: a restart uses the same cgroup at once.
        self.isolation.remove();
        crash::point("supervisor");
        self.exit = Some(record.clone());
        self.recorded_at = Some(Instant::now());
        self.tell(&Event::Exited(record));
        crash::point("supervisor");
        let keys: Vec<u32> = self.connections.iter().filter_map(|it| it.attachment().map(|it| it.task)).collect();
        for key in keys {
            self.close_streams(key);
        }
        for watcher in &mut self.connections {
            watcher.flush();
        }
    }

    fn exit_record(&mut self, ended: Option<Ended>) -> ExitRecord {
        let (mut code, signal) = match ended {
            Some(ended @ Ended::Signal(signal)) => (ended.shell_code().into(), Some(signal)),
            Some(ended @ Ended::Code(_)) => (ended.shell_code().into(), None),
            None => (-1, None),
        };
        if let Some(failure) = &self.start_failure {
            code = failure.exit_code();
        }
        ExitRecord {
            code,
            signal: signal.filter(|_| self.start_failure.is_none()),
            oom_killed: self.isolation.oom_kills() > 0,
            at_ns: i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0),
            error: self.start_failure.as_ref().map(|failure| failure.message.clone()),
        }
    }

    fn close_streams(&mut self, task: u32) {
        for connection in &mut self.connections {
            if connection.attachment().is_some_and(|attachment| attachment.task == task) {
                connection.close();
            }
        }
    }

    /// When execs that outlive the container are given up.
    fn execs_deadline(&self) -> Option<Instant> {
        self.main_ended.map(|at| at + EXECS_LIMIT)
    }

    /// Deadlines after the end of the container.
    pub(super) fn finish_deadline(&self) -> Option<Instant> {
        match self.recorded_at {
            Some(at) => Some(at + LINGER_LIMIT),
            None => self.execs_deadline().filter(|deadline| *deadline > Instant::now()),
        }
    }

    /// Whether the container has ended, and everybody took what was for them.
    pub(super) fn is_done(&self) -> bool {
        self.recorded_at.is_some_and(|at| {
            at.elapsed() >= LINGER_LIMIT || self.connections.iter().all(|client| client.waiting_bytes() == 0)
        })
    }

    /// Hangs up on everybody.
    pub(super) fn leave(&mut self) {
        for connection in std::mem::take(&mut self.connections) {
            connection.hang_up(&mut self.buffer);
        }
    }
}
