//! Making, entering and limiting containers: synchronous, and never in a process with more than one thread.

pub mod capability;
pub mod cgroup;
pub mod seccomp;
