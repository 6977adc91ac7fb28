//! Whole requests over real sockets.

pub mod crash;
