//! The audit log: a JSON line for each request, appended in one write.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use serde::Serialize;

use crate::{Error, Result};

/// A line.
#[derive(Debug, Serialize)]
pub struct Entry<'e> {
    /// RFC 3339, UTC.
    pub time: String,
    /// Where the request came from.
    pub address: IpAddr,
    /// Who; `null` for nobody in particular.
    pub account: Option<&'e str>,
    /// `pull`, `push`, `delete`, `catalog`, `token`, …
    pub action: &'e str,
    /// Which repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<&'e str>,
    /// Tag, digest or upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Of the request.
    pub method: &'e str,
    /// Of the answer.
    pub status: u16,
    /// In milliseconds.
    pub took_ms: u64,
    /// Of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<&'e str>,
}

/// The log.
#[derive(Debug)]
pub struct Audit(File);

impl Audit {
    /// Opens or creates the log.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        file.map(Self).map_err(Error::file("open", path))
    }

    /// Appends a line.
    pub fn write(&self, entry: &Entry<'_>) {
        let mut line = serde_json::to_vec(entry).unwrap_or_default();
        line.push(b'\n');
        if let Err(error) = (&self.0).write_all(&line) {
            tracing::error!(%error, "the audit log cannot be written");
        }
    }
}
