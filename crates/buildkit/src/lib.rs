//! BuildKit's door: its control and session services, so that clients of BuildKit build with this engine.
//!
//! [`Door`] answers what arrives on `/grpc`, [`session::Sessions`] keeps what arrives on `/session`, and a [`Builder`]
//! behind them builds. Dockerfiles are solved; graphs of BuildKit's own operations and frontend images are refused.

mod builder;
mod dockerfile;
mod door;
pub mod grpc;
pub mod history;
pub mod progress;
pub mod proto;
mod question;
pub mod request;
pub mod session;

pub use builder::{Builder, Solve};
pub use dockerfile::{Found, find, read};
pub use door::Door;
