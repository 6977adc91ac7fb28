//! Registries as their client sees them (OCI distribution specification 1.1; Docker Registry HTTP API V2).
//!
//! ```text
//! Policy ─► endpoints: mirrors or a hosts.toml first, then the registry itself (TLS, or what was declared insecure)
//! Client ─► Repository ─► ask: authorise ─► follow redirects ─► wait where told to ─► answer
//!                          ├─ resolve, manifest, tags: manifest, or index and the manifest for a platform
//!                          ├─ download, fetch: a blob by parts, resumed after any cut; size and digest are checked
//!                          └─ upload, put_manifest: mounted, or sent and continued where it broke
//! ```
//!
//! Nothing that came over the network is believed: sizes are limited, digests computed, credentials go to the registry
//! and its own token server only.

mod answer;
mod challenge;
mod client;
mod connect;
mod credentials;
mod download;
mod error;
mod health;
mod hosts;
mod login;
mod manifest;
mod origin;
mod payload;
mod policy;
mod pool;
mod proxy;
mod referrers;
mod repository;
mod request;
mod search;
mod tags;
mod token;
mod trust;
mod upload;
mod web;

pub use challenge::Challenge;
pub use client::Client;
pub use credentials::Credentials;
pub use download::{Lease, PART_BYTES, Reader};
pub use error::{Error, Result};
pub use manifest::{Document, Resolved};
pub use payload::Told;
pub use policy::Policy;
pub use proxy::Proxies;
pub use repository::Repository;
pub use search::Found;
pub use upload::{Contents, Uploaded};
pub use web::{WebAnswer, WebRequest};

#[cfg(test)]
mod tests;
