//! The OCI distribution server and pull-through mirror (OCI distribution specification 1.1).
//!
//! ```text
//! serve ─► handle ─► access: who asks, and may they?
//!             ├────► upload ─► depot ─┬─ store: bytes of blobs, in files or a bucket
//!             ├────► ledger ◄─────────┘  names, links, manifests, tags: one SQLite file
//!             └────► mirror ─► berth-remote: what is not here is fetched, once
//! collect: garbage and scrub, beside all that
//! ```
//!
//! A blob is stored once and read through links: a repository without a link to it does not have it. What was
//! acknowledged is on disk; what a crash leaves behind, the next collection removes.
//!
//! On disk, below the root: `ledger.db` (names), `blobs/` (see `store::files`), `uploads/` (see `upload`), `quarantine/`,
//! `token.key`, `admin.sock`, `lock`.

pub mod access;
pub mod audit;
pub mod collect;
pub mod command;
pub mod depot;
pub mod digest;
mod error;
pub mod fault;
pub mod handle;
pub mod ledger;
pub mod limit;
pub mod manifest;
pub mod metric;
pub mod mirror;
pub mod name;
pub mod range;
pub mod registry;
pub mod route;
pub mod serve;
pub mod settings;
mod step;
pub mod store;
pub mod upload;

pub use error::{Error, Result};

#[cfg(test)]
mod tests;

/// Runs work that waits for the disk where waiting is allowed.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Closed { act: "wait for the disk" }),
        },
    }
}
