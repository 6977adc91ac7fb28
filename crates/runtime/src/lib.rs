//! Making, entering and limiting containers: synchronous, and never in a process with more than one thread.

pub mod cgroup;
