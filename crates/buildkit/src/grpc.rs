//! gRPC over HTTP/2: just what BuildKit's protocols need of it, on the `h2` that the API already carries.
//!
//! The engine is a server on `/grpc` and a client on `/session`: there the connection is the client's, and the services
//! run on the client's side. (grpc.io, "gRPC over HTTP2".)

mod client;
mod frame;
mod server;
mod status;

pub use client::{Channel, Duplex, Receiver, Sender};
pub use server::{Call, Service, serve};
pub use status::{Code, Status};

/// Pairs of a call's headers; BuildKit passes options so.
pub type Metadata = Vec<(String, String)>;

/// The longest message taken, in bytes. BuildKit's own limit is 16 MiB.
const MESSAGE_BYTES: usize = 16 << 20;
/// How much of a stream may be under way, in bytes.
const STREAM_WINDOW: u32 = 1 << 20;
/// How much of a connection may be under way, in bytes.
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Calls at the same time on one connection.
const CALLS: u32 = 256;
/// Headers of one call, in bytes.
const HEADER_BYTES: u32 = 1 << 20;
