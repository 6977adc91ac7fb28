//! Values of `run` and `create` flags: one file a grammar, each with Docker's refusals.
//!
//! What Docker's client refuses while reading flags is a `check`; what it refuses later, or what needs a value, is a
//! `parse`. Each result is the JSON that the Engine API wants.

pub mod capability;
pub mod csv;
pub mod device;
pub mod env;
pub mod gpu;
pub mod label;
pub mod mount;
pub mod network;
pub mod port;
pub mod restart;
pub mod security;
pub mod throttle;
pub mod ulimit;
pub mod volume;
