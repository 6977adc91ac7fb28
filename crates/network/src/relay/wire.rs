//! One line of JSON to the relays' process, and one back.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use crate::port::Protocol;

/// Name of the socket in the process's directory.
pub const SOCKET: &str = "socket";
/// How long the other end may take.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// One way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Relay {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Where it listens on the host.
    pub at: SocketAddr,
    /// Where it leads.
    pub target: SocketAddr,
}

/// What the daemon says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Word {
    /// Begin; no error when it is there already.
    Open(Relay),
    /// End; no error when it is not there.
    Close(Relay),
    /// Begin all of these, as far as it can be.
    All(Vec<Relay>),
    /// End all others.
    Keep(Vec<Relay>),
}

/// What the process answers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Answer {
    /// What went wrong, or nothing.
    pub error: Option<String>,
}

/// Says `word` and waits for the answer.
pub fn say(dir: &Path, word: &Word) -> io::Result<()> {
    let mut stream = UnixStream::connect(dir.join(SOCKET))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut text = String::new();
    BufReader::new(stream).read_line(&mut text)?;
    if text.is_empty() {
        // It ended between the two.
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    match serde_json::from_str::<Answer>(&text)?.error {
        None => Ok(()),
        Some(error) => Err(io::Error::other(error)),
    }
}

/// Whether an error means that no process is there.
pub fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | ConnectionReset | BrokenPipe)
}
