//! The door for Docker clients: the Engine API over HTTP. Handlers decode, call a noun, and encode; they decide nothing.
//!
//! ```text
//! connection ─► serve ─► version (prefix off, checked) ─► router ─► handler ─► noun
//!                                                            │
//!                     failure.rs: every error becomes a status and {"message": …} here, and only here
//! ```
//!
//! A noun is a folder and a verb is a file: `container/start.rs`. Operations that later parts bring answer 501, see
//! [`unbuilt`].

mod body;
mod build;
mod buildkit;
mod container;
mod engine;
mod error;
mod exec;
mod failure;
mod filter;
mod fold;
mod hijack;
pub mod hostile;
mod image;
mod name;
mod network;
mod query;
mod registry;
mod router;
pub mod serve;
mod stream;
mod system;
mod unbuilt;
mod version;
mod vm;
mod volume;

pub use engine::{Engine, Facts, Settings};
pub use error::{Error, Result};
pub use router::Api;
