//! The engine's records: one SQLite database, JSON in columns.
//!
//! ```text
//! <data root>/berth.db      table record(kind, id, summary, body), WAL
//! ```
//!
//! A record has a *summary* (what lists show; all of them are read at start-up) and a *body* (everything; read when
//! needed). Both are JSON, so a record type changes by a new `version` field in its body, not by a schema change.
//!
//! Two durabilities: [`Durability::Power`] returns after fsync(2), [`Durability::Crash`] survives a killed process but
//! not a power cut. A record is written before the effect it describes.

mod error;
mod store;

pub use error::{Error, Result};
pub use store::{Durability, Store, Summaries};
