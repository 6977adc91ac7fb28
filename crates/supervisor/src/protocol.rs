//! What is said on a supervisor's socket.
//!
//! A frame is a `u32` length (little-endian, at most [`FRAME_MAX`]) and that many bytes of JSON. Requests and replies
//! alternate, with two exceptions, after which the connection serves nothing else:
//!
//! - after [`Request::Watch`] is answered with [`Reply::Ok`], the supervisor sends [`Reply::Event`]s until it ends;
//! - after [`Request::Attach`] is answered with [`Reply::Ok`], or an attached [`Request::Exec`] with
//!   [`Reply::ExecStarted`], the connection is the stream: towards the client Docker's multiplexed frames (raw bytes
//!   with a terminal), from the client raw standard input. The client's `shutdown(SHUT_WR)` ends the standard input
//!   where that is allowed.
//!
//! A frame that is too long or no request is answered with [`Reply::Error`], and the connection is closed.

use berth_kit::Kind;
use serde::{Deserialize, Serialize};

use crate::ExitRecord;

/// The longest frame in bytes, without its length.
pub const FRAME_MAX: usize = 1 << 20;

/// From the daemon.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Lets the created container run. Answered with [`Reply::Started`].
    Start,
    /// Answered with [`Reply::State`].
    Status,
    /// Turns the connection into a stream of events. What has ended already is told at once.
    Watch,
    /// Turns the connection into the container's streams; also before it is started.
    Attach {
        /// The client's bytes go to the container.
        stdin: bool,
        /// Standard output is wanted.
        stdout: bool,
        /// Standard error is wanted.
        stderr: bool,
    },
    /// Starts another process in the container. Answered with [`Reply::ExecStarted`].
    Exec(Box<Exec>),
    /// Runs a tool on the container's files, where its isolation has them; then as [`Exec`](Self::Exec), with all three
    /// streams.
    Tool {
        /// As an exec's.
        id: String,
        /// The tool's own.
        arguments: Vec<String>,
    },
    /// Asks the isolation. Answered with [`Reply::Told`].
    Ask(About),
    /// How an exec ended. Answered with [`Reply::Exec`].
    ExecStatus {
        /// The exec's identifier.
        id: String,
    },
    /// Sets the size of a terminal.
    Resize {
        /// The exec's identifier, or the container itself.
        exec: Option<String>,
        /// Character cells.
        rows: u16,
        /// Character cells.
        cols: u16,
    },
    /// Sends a signal.
    Signal {
        /// Linux signal number.
        signal: i32,
        /// To every process of the container, not the first alone.
        all: bool,
    },
    /// Ends the container's standard input.
    CloseStdin,
}

/// What can be asked of an isolation that has a kernel of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum About {
    /// What the container uses: Docker's `memory_stats`, `pids_stats`, `blkio_stats`, `cpu_stats` as `memory`, `pids`,
    /// `block`, `cpu`.
    Usage,
    /// Its processes.
    Processes,
    /// Changes its limits.
    Limits(Box<oci_spec::runtime::LinuxResources>),
}

/// A process to start in a running container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exec {
    /// Chosen by the daemon; unique within the container.
    pub id: String,
    /// Arguments, environment, user, directory, capabilities.
    pub process: oci_spec::runtime::Process,
    /// It gets a terminal of its own.
    pub tty: bool,
    /// The connection's bytes are its standard input.
    pub stdin: bool,
    /// Standard output is wanted.
    pub stdout: bool,
    /// Standard error is wanted.
    pub stderr: bool,
    /// First size of the terminal: rows, columns.
    pub size: Option<(u16, u16)>,
}

impl Exec {
    /// Whether the connection becomes its stream.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.stdin || self.stdout || self.stderr
    }
}

/// From the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done.
    Ok,
    /// The container was created and waits to be started; the first message on the supervisor's standard input.
    Ready {
        /// Its first process.
        pid: i32,
    },
    /// See [`State`].
    State(State),
    /// The container runs.
    Started {
        /// Its first process.
        pid: i32,
    },
    /// The act failed, and changed nothing.
    Error(Failure),
    /// The exec runs.
    ExecStarted {
        /// Its process.
        pid: i32,
    },
    /// How an exec stands.
    Exec {
        /// Its process.
        pid: i32,
        /// Its exit code once it has ended and its output was passed on.
        code: Option<i32>,
    },
    /// What the isolation said.
    Told(serde_json::Value),
    /// Something happened; only after [`Request::Watch`].
    Event(Event),
}

/// How a container stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Its first process, as seen by the supervisor.
    pub pid: i32,
    /// It was let run.
    pub started: bool,
    /// It was let run and has not ended.
    pub running: bool,
    /// When it was let run, nanoseconds of Unix time.
    pub started_at_ns: Option<i64>,
    /// How often its log could not be written.
    pub log_failures: u64,
    /// How it ended.
    pub exit: Option<ExitRecord>,
}

/// Told to watchers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The container has ended: its log is kept, its exit record is on disk, its cgroup is gone. Nothing follows.
    Exited(ExitRecord),
    /// An exec has ended.
    ExecExited {
        /// Its identifier.
        id: String,
        /// Its exit code.
        code: i32,
    },
    /// The kernel killed a process of the container for want of memory.
    OomKilled,
}

/// Why an act failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The step that failed: `exec`, `mount rootfs`.
    pub step: String,
    /// The kernel's error number, 0 when it was not the kernel.
    pub errno: i32,
    /// One sentence.
    pub message: String,
}

impl Failure {
    /// A failure that is not the kernel's.
    #[must_use]
    pub fn new(step: &str, message: impl Into<String>) -> Self {
        Self { step: step.to_owned(), errno: 0, message: message.into() }
    }

    /// A refused system call.
    #[must_use]
    pub fn errno(step: &str, errno: rustix::io::Errno) -> Self {
        let text = std::io::Error::from(errno).to_string();
        Self { step: step.to_owned(), errno: errno.raw_os_error(), message: format!("cannot {step}: {text}") }
    }

    /// Docker's exit code of a container that could not be started: 127 when the program was not found, 126 when it
    /// cannot be executed, else 128.
    #[must_use]
    pub fn exit_code(&self) -> i64 {
        match (self.step.as_str(), self.errno) {
            ("exec", libc::ENOENT | libc::ENOTDIR) => 127,
            ("exec", libc::EACCES | libc::ENOEXEC | libc::EISDIR | libc::EPERM | libc::ELIBBAD) => 126,
            _ => 128,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.step.as_str() {
            "state" => Kind::Conflict,
            "find" => Kind::NotFound,
            "request" => Kind::Invalid,
            _ => Kind::Internal,
        }
    }
}

/// Appends `message` as a frame.
pub fn encode(out: &mut Vec<u8>, message: &impl Serialize) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    // These types have no map with foreign keys, so writing them to memory does not fail.
    let _ = serde_json::to_writer(&mut *out, message);
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
}

/// What begins at the beginning of some received bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Framed {
    /// A frame's JSON within the bytes.
    Whole(std::ops::Range<usize>),
    /// More is needed.
    Short,
    /// A frame longer than [`FRAME_MAX`].
    TooLong(usize),
}

/// Finds the first frame.
#[must_use]
pub fn framed(bytes: &[u8]) -> Framed {
    let Some(head) = bytes.first_chunk::<4>() else { return Framed::Short };
    let len = u32::from_le_bytes(*head) as usize;
    if len > FRAME_MAX {
        Framed::TooLong(len)
    } else if bytes.len() < 4 + len {
        Framed::Short
    } else {
        Framed::Whole(4..4 + len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_round_trip_at_any_cut() {
        let mut wire = Vec::new();
        encode(&mut wire, &Reply::Event(Event::ExecExited { id: "a\nb".into(), code: 3 }));
        for cut in 0..wire.len() {
            assert_eq!(framed(&wire[..cut]), Framed::Short);
        }
        let Framed::Whole(body) = framed(&wire) else { panic!("whole") };
        let reply: Reply = serde_json::from_slice(&wire[body]).unwrap();
        assert_eq!(reply, Reply::Event(Event::ExecExited { id: "a\nb".into(), code: 3 }));
        assert_eq!(framed(&[0xff; 8]), Framed::TooLong(u32::MAX as usize));
    }

    #[test]
    fn exit_codes_are_dockers() {
        let code = |errno: rustix::io::Errno| Failure::errno("exec", errno).exit_code();
        assert_eq!(code(rustix::io::Errno::NOENT), 127);
        assert_eq!(code(rustix::io::Errno::ACCESS), 126);
        assert_eq!(Failure::new("mount", "x").exit_code(), 128);
    }
}
