//! Registries as their client sees them (OCI distribution specification 1.1; Docker Registry HTTP API V2).
//!
//! ```text
//! Policy ─► endpoints: mirrors first, then the registry itself (TLS, or what was declared insecure)
//! Repository ─► get: authorise ─► follow redirects ─► wait where told to ─► answer
//!                ├─ resolve: manifest, or index and the manifest for a platform; digest checked
//!                └─ fetch: blob into the content store; a cut is resumed, size and digest are checked
//! ```
//!
//! Nothing that came over the network is believed: sizes are limited, digests computed, credentials go to the registry
//! and its own token server only.

mod answer;
mod blob;
mod challenge;
mod connect;
mod credentials;
mod error;
mod manifest;
mod origin;
mod policy;
mod repository;
mod request;
mod token;
mod trust;

pub use credentials::Credentials;
pub use error::{Error, Result};
pub use manifest::Resolved;
pub use policy::Policy;
pub use repository::Repository;

#[cfg(test)]
mod tests;
