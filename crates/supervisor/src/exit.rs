//! How a container ended: the record that outlives every process that saw it.

use std::{fs, io::Write, path::Path};

use berth_kit::crash;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

const FILE: &str = "exit.json";

/// The end of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// What a shell would report: the exit code, or 128 plus the signal; 126, 127 or 128 when it never ran.
    pub code: i64,
    /// The signal that ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// The kernel killed one of its processes for want of memory.
    #[serde(default)]
    pub oom_killed: bool,
    /// When, in nanoseconds of Unix time.
    pub at_ns: i64,
    /// Why it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl ExitRecord {
    /// The record in a bundle; `None` while the container has not ended.
    ///
    /// # Errors
    /// [`Error::ReadBundle`] or [`Error::ParseBundle`].
    pub fn read(bundle: &Path) -> Result<Option<Self>> {
        let path = bundle.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(record) => Ok(Some(record)),
                Err(source) => Err(Error::ParseBundle { path, source }),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::ReadBundle { path, source }),
        }
    }

    /// Puts the record into a bundle: whole or not at all.
    ///
    /// The runtime root is a memory file system that no power cut survives, so nothing is synchronised.
    ///
    /// # Errors
    /// [`Error::WriteBundle`].
    pub fn write(&self, bundle: &Path) -> Result<()> {
        replace(bundle, FILE, &serde_json::to_vec(self).unwrap_or_default())
    }

    /// Removes the record of an earlier run.
    ///
    /// # Errors
    /// [`Error::WriteBundle`].
    pub fn remove(bundle: &Path) -> Result<()> {
        let path = bundle.join(FILE);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::WriteBundle { path, source }),
            _ => Ok(()),
        }
    }
}

/// Writes a file of the bundle by renaming a new one over it.
pub(crate) fn replace(bundle: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let (path, fresh) = (bundle.join(name), bundle.join(format!("{name}.new")));
    fs::File::create(&fresh)
        .and_then(|mut file| file.write_all(bytes))
        .inspect(|()| crash::point("supervisor"))
        .and_then(|()| fs::rename(&fresh, &path))
        .inspect(|()| crash::point("supervisor"))
        .map_err(|source| Error::WriteBundle { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ExitRecord::read(dir.path()).unwrap(), None);
        let record = ExitRecord { code: 137, signal: Some(9), oom_killed: true, at_ns: 5, error: None };
        record.write(dir.path()).unwrap();
        assert_eq!(ExitRecord::read(dir.path()).unwrap(), Some(record));
        ExitRecord::remove(dir.path()).unwrap();
        ExitRecord::remove(dir.path()).unwrap();
        fs::write(dir.path().join(FILE), "{").unwrap();
        assert!(ExitRecord::read(dir.path()).is_err());
    }
}
