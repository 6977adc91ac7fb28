//! Engine API client: HTTP/1.1 over a Unix socket, TCP or TLS, with streams and raw upgrades.
//!
//! A [`Client`] keeps its idle connections and sends no request that its caller did not ask for: the API version is
//! negotiated by the answer to the first call, not by a call of its own. The nouns ([`container`], [`exec`],
//! [`image`], [`system`]) add typed calls; whatever has no type here goes through [`Client::json`].

pub mod answer;
pub mod body;
mod connect;
pub mod container;
pub mod error;
pub mod exec;
pub mod hijack;
pub mod host;
pub mod image;
pub mod machine;
pub mod network;
pub mod request;
mod send;
pub mod start;
pub mod stream;
pub mod system;
mod tls;
pub mod volume;

pub use body::Body;
pub use error::{Error, Result};
pub use hijack::Hijacked;
pub use host::{Host, Origin, TlsFiles};
pub use request::{Request, segment};
pub use send::Client;
