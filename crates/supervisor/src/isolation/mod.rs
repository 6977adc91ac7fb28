//! The seam between a supervisor and what holds its container: kernel namespaces today, a virtual machine too.

pub mod process;
pub mod vm;

use std::os::fd::{BorrowedFd, OwnedFd};

use oci_spec::runtime::Process;

use crate::protocol::{About, Failure};

pub use berth_sys::pidfd::Ended;

/// A way to run one container.
///
/// # Vocabulary
///
/// The *main process* is the one the container is made for; when it ends, the container ends. An *exec* is any process
/// started later. A process *ends* when [`Child::ended`] becomes readable, and is *collected* when
/// [`collect`](Self::collect) has told how.
///
/// # Life cycle
///
/// ```text
/// create ─► release ─► exec* ─────────────────► (main ended) ─► clear ─► remove
///              │         └ each is collected         │
///              └ fails: the main process ends        └ collect
/// ```
///
/// - [`create`](Self::create) prepares everything and leaves the main process waiting at a gate.
/// - [`release`](Self::release) opens the gate and returns when the program runs, or says at which step it could not.
/// - [`clear`](Self::clear) leaves no process behind; [`remove`](Self::remove) leaves nothing behind.
///
/// All calls are made by one thread and return within milliseconds; none waits for the container's program.
///
/// # Example
///
/// The tests of [`crate::process`] run the supervisor's loop on an implementation of forty lines without any isolation.
pub trait Isolation {
    /// Makes the container with its main process at the gate.
    ///
    /// # Errors
    /// The step that failed; nothing is left behind then.
    fn create(&mut self, stdio: Stdio) -> Result<Child, Failure>;

    /// Lets the main process run.
    ///
    /// # Errors
    /// The step that failed; the main process ends then and is collected as usual.
    fn release(&mut self) -> Result<(), Failure>;

    /// Starts another process.
    ///
    /// # Errors
    /// The step that failed, with the kernel's error of `execve` for a program that does not exist.
    fn exec(&mut self, process: &Process, stdio: Stdio) -> Result<Child, Failure>;

    /// Runs a tool on the container's files where only the isolation itself can reach them.
    ///
    /// # Errors
    /// Most isolations leave their files to the engine, and have no tools.
    fn tool(&mut self, arguments: &[String], stdio: Stdio) -> Result<Child, Failure> {
        let _ = (arguments, stdio);
        Err(Failure::new("request", "this container's files are the engine's own to look at"))
    }

    /// What only the isolation itself knows, or can change.
    ///
    /// # Errors
    /// As [`tool`](Self::tool).
    fn ask(&mut self, about: &About) -> Result<serde_json::Value, Failure> {
        let _ = about;
        Err(Failure::new("request", "this container's kernel is the engine's own to ask"))
    }

    /// How a process ended; `None` while it runs.
    fn collect(&mut self, child: &Child) -> Option<Ended>;

    /// Sends a signal to one process.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn signal(&mut self, child: &Child, signal: i32) -> Result<(), Failure>;

    /// Sends a signal to every process.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn signal_all(&mut self, signal: i32) -> Result<(), Failure>;

    /// Sets the size of a process's terminal, of which `terminal` is the supervisor's end.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn resize(&mut self, child: &Child, terminal: BorrowedFd<'_>, rows: u16, cols: u16) -> Result<(), Failure> {
        let _ = child;
        berth_sys::pty::resize(terminal, rows, cols).map_err(|errno| Failure::errno("resize the terminal", errno))
    }

    /// A descriptor that becomes readable when [`turn`](Self::turn) has something to do: for isolations that carry the
    /// streams of their processes themselves.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Does what there is to do, without waiting.
    fn turn(&mut self) {}

    /// A descriptor that becomes readable when [`oom_kills`](Self::oom_kills) may have grown.
    fn oom_watch(&mut self) -> Option<OwnedFd> {
        None
    }

    /// Processes that the kernel killed for want of memory.
    fn oom_kills(&mut self) -> u64 {
        0
    }

    /// Kills what is left when the main process has ended.
    fn clear(&mut self);

    /// Removes what the container had: its cgroup.
    fn remove(&mut self);
}

/// The standard streams a process gets.
#[derive(Debug)]
pub enum Stdio {
    /// Three descriptors.
    Pipes {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A new terminal of the container's own, given back as [`Child::terminal`].
    Terminal {
        /// Rows and columns.
        size: Option<(u16, u16)>,
    },
}

/// A process that was started.
#[derive(Debug)]
pub struct Child {
    /// As seen by the supervisor.
    pub pid: i32,
    /// Becomes readable when the process has ended.
    pub ended: OwnedFd,
    /// The supervisor's end of its terminal.
    pub terminal: Option<OwnedFd>,
}
