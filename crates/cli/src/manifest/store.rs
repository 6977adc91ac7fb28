//! Lists under way, in the user's configuration directory.

use crate::call::Failure;
use crate::config::Config;
use berth_spec::Reference;
use berth_spec::image::Descriptor;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One image of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it came from.
    pub reference: String,
    /// What the list says of it.
    pub descriptor: Descriptor,
    /// Features of the operating system that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
    /// Version of the operating system that it needs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub os_version: String,
}

/// Where a list is kept.
pub fn place(config: &Config, list: &Reference) -> PathBuf {
    config.directory().join("manifests").join(file_name(&super::canonical(list)))
}

/// The entries of a list, in the order of their names; `None` when there is no such list.
///
/// # Errors
/// Files that cannot be read.
pub fn read(config: &Config, list: &Reference) -> Result<Option<Vec<Entry>>, Failure> {
    let place = place(config, list);
    let entries = match std::fs::read_dir(&place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let entry = serde_json::from_slice(&std::fs::read(&path)?);
        found.push(entry.map_err(|error| Failure::new(format!("{}: {error}", path.display())))?);
    }
    Ok(Some(found))
}

/// Writes one entry of a list.
///
/// # Errors
/// A file that cannot be written.
pub fn write(config: &Config, list: &Reference, entry: &Entry) -> Result<(), Failure> {
    let place = place(config, list);
    std::fs::create_dir_all(&place)?;
    let text = serde_json::to_vec_pretty(entry).map_err(|error| Failure::new(error.to_string()))?;
    Ok(std::fs::write(place.join(format!("{}.json", file_name(&entry.reference))), text)?)
}

/// Forgets a list; `false` when there is none.
///
/// # Errors
/// Files that cannot be removed.
pub fn remove(config: &Config, list: &Reference) -> Result<bool, Failure> {
    match std::fs::remove_dir_all(place(config, list)) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn file_name(name: &str) -> String {
    name.replace('/', "_").replace(':', "-")
}
