//! What host and guest say to each other, beside the bytes of standard streams (see [`crate::mux`]).
//!
//! ```text
//! host                                    guest (the engine's own program as process 1)
//! Setup{root, disk, network, files} ────► mounts, addresses, clock
//!                                   ◄──── Done
//! Create{spec} ─────────────────────────► namespaces, mounts, seccomp: the runtime, as on the host
//!                                   ◄──── Started | Failed{step}
//! Release ──────────────────────────────► the program runs
//!                                   ◄──── Done | Failed{step: exec}
//! Exec, Tool, Signal, Resize, Usage …     at any time
//!                                   ◄──── Exited{key}, OutOfMemory
//! ```
//!
//! The guest is not trusted: whatever it says is bounded in size, and names nothing of the host.

use std::net::IpAddr;

use oci_spec::runtime::{LinuxResources, Process, Spec};
use serde::{Deserialize, Serialize};

/// The key of a container's main process. Others count on from it.
pub const MAIN: u32 = 0;

/// Numbers of a process's three streams, in the order of their descriptors.
#[must_use]
pub fn streams(key: u32) -> [u32; 3] {
    [key * 4, key * 4 + 1, key * 4 + 2]
}

/// A request with the number that its answer will carry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ticketed {
    /// Chosen by the host.
    pub ticket: u32,
    /// What is asked.
    pub request: Request,
}

/// From the host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Request {
    /// Everything a guest must know before it can have a container.
    Setup(Box<Setup>),
    /// Makes the container, up to its gate.
    Create(Box<Create>),
    /// Lets its main process run.
    Release,
    /// Starts another process.
    Exec(Box<Exec>),
    /// Sends a signal to a process; `None`: to all of the container.
    Signal { key: Option<u32>, signal: i32 },
    /// Sets the size of a process's terminal.
    Resize { key: u32, rows: u16, cols: u16 },
    /// What the container uses.
    Usage,
    /// Its processes.
    Processes,
    /// Runs the agent's own program on the container's files; see [`crate::guest::tool`].
    Tool { key: u32, arguments: Vec<String> },
    /// Changes the container's limits.
    Update(Box<LinuxResources>),
    /// Everything written is to be on disk.
    Sync,
}

/// See [`Request::Setup`].
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Setup {
    /// Nanoseconds of Unix time: a guest that was restored has an old clock.
    pub now_ns: i64,
    /// Fresh random bytes in hexadecimal: guests restored from one template must not share their random numbers.
    pub entropy: String,
    /// Where changes of the root file system go.
    pub upper: Upper,
    /// The tag of the shared file system, when there is one.
    pub share: Option<String>,
    /// Network devices, in the order of the machine's.
    pub interfaces: Vec<Interface>,
    /// Kernel settings of the guest: names with dots, values.
    pub sysctls: Vec<(String, String)>,
    /// Files by contents, to be mounted at places that the specification names with [`FILE_PREFIX`].
    pub files: Vec<Vec<u8>>,
    /// The guest's own host name.
    pub host_name: String,
}

/// Where changes of the root file system go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Upper {
    /// The disk that the host attached for them, an ext4 file system.
    Disk,
    /// Memory, at most so many bytes.
    Memory { bytes: u64 },
    /// Nowhere: the root is to be read only.
    #[default]
    None,
}

/// Source of a bind mount: the file with this number of [`Setup::files`].
pub const FILE_PREFIX: &str = "berth-file:";
/// Source of a bind mount: the directory or file of this name at the top of the shared file system.
pub const SHARE_PREFIX: &str = "berth-share:";

/// Where the resolver of names on networks is reached from a guest: an address of the jail's end of its devices, of
/// which nobody else on the network hears.
pub const RESOLVER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(169, 254, 0, 11);

/// A network device of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name, such as `eth0`.
    pub name: String,
    /// Hardware address.
    pub mac: [u8; 6],
    /// Largest packet in bytes; 0 for the driver's own.
    pub mtu: u32,
    /// Addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Default routes.
    pub gateways: Vec<IpAddr>,
    /// The hardware address of the jail's end, where the resolver listens at [`RESOLVER`].
    pub jail: Option<[u8; 6]>,
}

/// See [`Request::Create`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Create {
    /// Its root file system and its control group are the guest's to choose.
    pub spec: Spec,
    /// An init as process 1.
    pub init: bool,
    /// Supplementary groups.
    pub groups: Vec<String>,
    /// Streams are a terminal's, of this size.
    pub terminal: Option<Terminal>,
}

/// A terminal is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Rows and columns.
    pub size: Option<(u16, u16)>,
}

/// See [`Request::Exec`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Exec {
    /// Chosen by the host, never used twice.
    pub key: u32,
    /// What to run.
    pub process: Process,
    /// As in [`Create`].
    pub terminal: Option<Terminal>,
}

/// From the guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Report {
    /// The answer to a request.
    Answer { ticket: u32, answer: Answer },
    /// A process has ended, and all its output was sent.
    Exited { key: u32, code: Option<i32>, signal: Option<i32> },
    /// The guest's kernel has killed so many processes of the container for want of memory.
    OutOfMemory { kills: u64 },
}

/// An answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// Done.
    Done,
    /// A process exists.
    Started { pid: i32 },
    /// It could not be done.
    Failed(Failure),
    /// Docker's statistics of the container's control group: memory, processes, disks.
    Usage(Box<Usage>),
    /// Process numbers in the guest, with their lines of `stat` and `cmdline`.
    Processes(Vec<ProcessLine>),
}

/// What a container uses, in the form of Docker's statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// `memory_stats`.
    pub memory: serde_json::Value,
    /// `pids_stats`.
    pub pids: serde_json::Value,
    /// `blkio_stats`.
    pub block: serde_json::Value,
    /// `cpu_stats`.
    pub cpu: serde_json::Value,
}

/// A process of the container as the guest's kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessLine {
    /// In the guest.
    pub pid: i32,
    /// Who runs it.
    pub uid: u32,
    /// Whose child it is.
    pub parent: i32,
    /// Time on processors in hundredths of a second.
    pub ticks: u64,
    /// How long it has run, in seconds.
    pub age_s: u64,
    /// The number of its terminal's device, 0 without one.
    pub terminal: i64,
    /// Its command line.
    pub command: String,
}

/// A step that failed in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The step's name.
    pub step: String,
    /// The guest's kernel's number, 0 when it was not the kernel.
    pub errno: i32,
    /// One sentence.
    pub message: String,
}

impl Failure {
    /// A failure of `step` with an error's whole chain as its sentence.
    #[must_use]
    pub fn of(step: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let (mut message, mut errno) = (error.to_string(), errno_of(error));
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            errno = errno_of(cause).or(errno);
            source = cause.source();
        }
        Self { step: step.to_owned(), errno: errno.unwrap_or(0), message }
    }
}

fn errno_of(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error)
}
