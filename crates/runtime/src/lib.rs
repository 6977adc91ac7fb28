//! Making, entering and limiting containers: synchronous, and never in a process with more than one thread.
//!
//! ```text
//!  Bundle ──► create ──► Created ──► release ──► the program runs
//!               │           └ Container ──► exec ──► another program runs in it
//!               └ clone3 ─► init: its steps are the functions of `init`, in their order
//! ```
//!
//! The *maker* (a supervisor) does what needs the host's rights: id maps, clones of the host's mounts, device nodes,
//! control groups. The *init* does what needs the container's namespaces. They talk over one socket pair (`gate`).
//! There is no re-exec: init is a clone of the maker, and ends by `execve` or `_exit`.

mod bundle;
pub mod capability;
pub mod cgroup;
mod create;
mod device;
mod error;
mod exec;
mod gate;
pub mod hook;
mod id_map;
mod init;
pub mod label;
mod latch;
mod limit;
mod listener;
mod mount;
mod namespace;
mod path;
mod plan;
mod process;
mod reaper;
mod reopen;
mod rootfs;
pub mod rootless;
mod schedule;
pub mod seccomp;
mod stdio;
mod sysctl;
mod terminal;
pub mod user;

pub use bundle::{Bundle, Extension, IdRange, Layered};
pub use create::{Container, Created, Deferred, create, create_latched};
pub use error::{Error, Failure, Result};
pub use exec::{Executed, exec, exec_keeping};
pub use latch::Latch;
pub use stdio::Stdio;
