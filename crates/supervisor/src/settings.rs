//! What a supervisor is told beside the container's own specification.

use std::path::{Path, PathBuf};

use berth_log::{ContainerTags, LogConfig};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, exit::replace};

const FILE: &str = "supervisor.json";
/// Version of the file.
const VERSION: u32 = 1;

/// `supervisor.json` of a bundle. Whether there is a terminal stands in `config.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Version of the file.
    pub version: u32,
    /// Log driver and options.
    pub log: LogConfig,
    /// The log file, for drivers that keep one.
    pub log_path: PathBuf,
    /// Facts for tags and attributes of the log.
    pub tags: ContainerTags,
    /// The container's standard input stays open without a client (Docker's `OpenStdin`).
    pub open_stdin: bool,
    /// The container's standard input ends with the first client that ends its own (Docker's `StdinOnce`).
    pub stdin_once: bool,
    /// First size of the terminal: rows, columns.
    #[serde(default)]
    pub size: Option<(u16, u16)>,
}

impl Settings {
    /// A log and no standard input.
    #[must_use]
    pub fn new(log: LogConfig, log_path: PathBuf) -> Self {
        Self {
            version: VERSION,
            log,
            log_path,
            tags: ContainerTags::default(),
            open_stdin: false,
            stdin_once: false,
            size: None,
        }
    }

    /// Reads them from a bundle.
    ///
    /// # Errors
    /// [`Error::ReadBundle`] or [`Error::ParseBundle`].
    pub fn read(bundle: &Path) -> Result<Self> {
        let path = bundle.join(FILE);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|source| Error::ParseBundle { path, source }),
            Err(source) => Err(Error::ReadBundle { path, source }),
        }
    }

    /// Writes them into a bundle.
    ///
    /// # Errors
    /// [`Error::WriteBundle`].
    pub fn write(&self, bundle: &Path) -> Result<()> {
        replace(bundle, FILE, &serde_json::to_vec(self).unwrap_or_default())
    }
}
