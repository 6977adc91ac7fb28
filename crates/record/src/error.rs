//! What can go wrong with records.

use std::path::PathBuf;

use berth_kit::{Kind, Kinded};

/// A failed act on the record store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database could not be opened or prepared.
    #[error("cannot open the record store {path}")]
    Open {
        /// The database file.
        path: PathBuf,
        /// SQLite's answer.
        source: rusqlite::Error,
    },
    /// A record could not be read or written.
    #[error("cannot {act} record {kind}/{id}")]
    Access {
        /// `read`, `write` or `delete`.
        act: &'static str,
        /// The record's table.
        kind: String,
        /// The record's id, or `*` for all.
        id: String,
        /// SQLite's answer.
        source: rusqlite::Error,
    },
    /// The file system of the store has no room.
    #[error("cannot {act} record {kind}/{id}: no space left on device: free some in the data root")]
    Full {
        /// `read`, `write` or `delete`.
        act: &'static str,
        /// The record's table.
        kind: String,
        /// The record's id, or `*` for all.
        id: String,
    },
    /// A record is not the JSON it should be.
    #[error("record {kind}/{id} does not have the expected form")]
    Form {
        /// The record's table.
        kind: String,
        /// The record's id.
        id: String,
        /// Where it differs.
        source: serde_json::Error,
    },
}

/// Result of an act on the record store.
pub type Result<T> = std::result::Result<T, Error>;

impl Kinded for Error {
    fn kind(&self) -> Kind {
        match self {
            Self::Full { .. } => Kind::Unavailable,
            _ => Kind::Internal,
        }
    }
}
