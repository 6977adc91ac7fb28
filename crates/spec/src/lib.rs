//! Wire types: what Docker's Engine API, the OCI specifications and the registries put on the wire.
//!
//! Bytes only: nothing here opens a file or decides anything. Engine API models come from the generated
//! [`model`]s where those fit; query strings and a few answers are declared beside the handlers that use them.

pub mod digest;
pub mod event;
pub mod image;
pub mod platform;
pub mod progress;
pub mod reference;
pub mod stream;
pub mod ulimit;

/// Engine API models, generated from Docker's own description of the API.
pub use bollard_stubs::models as model;

pub use digest::Digest;
pub use platform::Platform;
pub use reference::Reference;

/// The newest Engine API version answered.
pub const API_VERSION: &str = "1.55";
/// The oldest Engine API version answered.
pub const API_VERSION_MIN: &str = "1.24";
