//! What daemon and keeper say to each other, and what the daemon decides before: `plan.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::Exit;

/// The longest line in bytes.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// The version of [`Plan`].
pub const VERSION: u32 = 1;
const PLAN: &str = "plan.json";

/// The monitor of a machine, ready to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Version of this record.
    pub version: u32,
    /// Program and arguments, whose paths are those of the jail.
    pub arguments: Vec<String>,
    /// What the jail shows: where, what, and whether it may be written.
    pub files: Vec<(String, PathBuf, bool)>,
    /// Character devices: path, major, minor.
    pub devices: Vec<(String, u32, u32)>,
    /// The monitor's user ids on the host: the first, and how many.
    pub ids: (u32, u32),
    /// Its control group.
    pub cgroup: String,
    /// It stays in the daemon's network namespace.
    pub host_network: bool,
    /// How much memory it locks, in bytes.
    pub locked_bytes: Option<u64>,
    /// How many taps it needs.
    pub taps: u32,
    /// The state that it goes on from.
    pub state: Option<PathBuf>,
    /// Where the exit record goes.
    pub exit: PathBuf,
    /// Where the console's log goes.
    pub console_log: PathBuf,
}

impl Plan {
    /// Reads it from a run directory.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(run: &Path) -> std::io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(run.join(PLAN))?)?)
    }

    /// Writes it into a run directory.
    ///
    /// # Errors
    /// The kernel's refusal.
    pub fn write(&self, run: &Path) -> std::io::Result<()> {
        std::fs::write(run.join(PLAN), serde_json::to_vec(self)?)
    }
}

/// Asked of a keeper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Let the monitor run; once, on the first connection.
    Start,
    /// Is it paused?
    Status,
    /// Carry out a command of the monitor's control protocol. With `file`, a new file is made there, and handed over
    /// with the command (`getfd`).
    Qmp { execute: String, arguments: Value, file: Option<PathBuf> },
    /// From here on, this connection is the serial port; first comes what the guest has said of late.
    Console { replay: bool },
    /// Tell what happens from here on.
    Watch,
    /// Kill the monitor.
    Kill,
}

/// A keeper's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// The monitor is at its gate, with this process id.
    Ready { pid: i32 },
    /// It was done, with this result.
    Done(Value),
    /// It was not, for this reason.
    Failed(String),
    /// Something happened.
    Event(Event),
}

/// What happens to a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// It stands still.
    Paused,
    /// It goes on.
    Resumed,
    /// It booted anew.
    Reset,
    /// It has ended.
    Ended(Exit),
}

/// A line.
#[must_use]
pub fn line(value: &impl Serialize) -> Vec<u8> {
    // Only maps whose keys are no text cannot be written.
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Takes the first whole line out of `bytes`; `Some(None)` for one that is not understood.
pub fn take<T: serde::de::DeserializeOwned>(bytes: &mut Vec<u8>) -> Option<Option<T>> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line: Vec<u8> = bytes.drain(..=end).collect();
    Some(serde_json::from_slice(&line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_pieces() {
        let request = Request::Qmp { execute: "stop".into(), arguments: serde_json::json!({}), file: None };
        let mut bytes = line(&request);
        bytes.extend(b"nonsense\n{\"Cons");
        assert_eq!(take::<Request>(&mut bytes), Some(Some(request)));
        assert_eq!(take::<Request>(&mut bytes), Some(None));
        assert_eq!((take::<Request>(&mut bytes), bytes.as_slice()), (None, &b"{\"Cons"[..]));
    }
}
