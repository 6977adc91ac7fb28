//! The black-box suite, one file per area. How it is pointed at dockerd stands in this package's lib.rs.

mod archive;
mod attach;
mod bad_input;
mod clients;
mod crash;
mod daemon;
mod environment;
mod events;
mod exec;
mod health;
mod image;
mod isolation;
mod lifecycle;
mod limits;
mod logs;
mod network;
mod network_connect;
mod operations;
mod options;
mod pull;
mod restart;
mod run;
mod system;
mod volume;
mod volume_sharing;
