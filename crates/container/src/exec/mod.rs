//! Exec sessions: further processes in a running container.
//!
//! A session is made (`create`), started once (`start`), looked at (`inspect`) and forgotten with its container's run.
//! Sessions live in memory: what the daemon forgets at a restart, its clients have lost too, and the processes go on.

mod create;
mod inspect;
mod resize;
mod start;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use berth_spec::model::ExecConfig;

use crate::{Error, Result};

/// How many finished sessions of one container are remembered.
const FINISHED_MAX: usize = 256;

/// All sessions of all containers.
#[derive(Default)]
pub(crate) struct ExecTable {
    sessions: Mutex<HashMap<String, Arc<Mutex<Session>>>>,
}

/// One session.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Full identifier.
    pub id: String,
    /// Of which container.
    pub container: String,
    /// What was asked for.
    pub config: ExecConfig,
    /// Where it stands.
    pub state: SessionState,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SessionState {
    /// Not started.
    Created,
    /// Its process is being started or runs; the process id is 0 until it is known.
    Running(u32),
    /// Its process ended.
    Exited(i64),
}

impl ExecTable {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Mutex<Session>>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, session: Session) {
        let mut sessions = self.lock();
        let finished: Vec<String> = sessions
            .values()
            .map(|session| lock(session).clone())
            .filter(|other| other.container == session.container && matches!(other.state, SessionState::Exited(_)))
            .map(|other| other.id)
            .collect();
        for id in finished.iter().skip(FINISHED_MAX) {
            sessions.remove(id);
        }
        sessions.insert(session.id.clone(), Arc::new(Mutex::new(session)));
    }

    pub(crate) fn find(&self, id: &str) -> Result<Arc<Mutex<Session>>> {
        self.lock().get(id).cloned().ok_or_else(|| Error::NoSuchExec(id.to_owned()))
    }

    /// Running sessions of a container.
    pub(crate) fn of(&self, container: &str) -> Vec<String> {
        let sessions = self.lock();
        let of = sessions
            .values()
            .map(|session| lock(session).clone())
            .filter(|session| session.container == container && matches!(session.state, SessionState::Running(_)));
        of.map(|session| session.id).collect()
    }

    /// Drops all sessions of a removed container.
    pub(crate) fn forget(&self, container: &str) {
        self.lock().retain(|_, session| lock(session).container != container);
    }

    /// Marks what still ran when a container ended.
    pub(crate) fn end_all(&self, container: &str) {
        for session in self.lock().values() {
            let mut session = lock(session);
            if session.container == container && matches!(session.state, SessionState::Running(_)) {
                session.state = SessionState::Exited(137);
            }
        }
    }
}

pub(crate) fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}
