//! The volume's record on disk.

use std::collections::{BTreeMap, HashMap};

use berth_kit::time::{Timestamp, format_nano};
use berth_spec::model;
use serde::{Deserialize, Serialize};

use crate::Location;

/// Table of the record store.
pub(crate) const TABLE: &str = "volume";
/// Form of the record.
pub(crate) const VERSION: u32 = 1;

/// A volume as clients see it, with what its driver says of it.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    /// What is the same for all drivers.
    #[serde(flatten)]
    pub volume: model::Volume,
    /// Of a plugin's volume: whatever it tells.
    #[serde(rename = "Status", skip_serializing_if = "Option::is_none")]
    pub status: Option<HashMap<String, serde_json::Value>>,
}

/// What is known of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Form of this record.
    pub version: u32,
    /// The name, which is also the record's id.
    pub name: String,
    /// Name of its driver.
    pub driver: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Options for the driver.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// It is the state of another volume at one moment: nobody writes to it.
    #[serde(default)]
    pub read_only: bool,
    /// It is being filled; a daemon that finds it so after a crash removes it.
    #[serde(default)]
    pub filling: bool,
    /// The name whose bytes it takes over; a daemon that finds it so after a crash goes on.
    #[serde(default)]
    pub renamed_from: Option<String>,
}

impl Record {
    /// As its driver sees it.
    pub(crate) fn location(&self) -> Location<'_> {
        Location { name: &self.name, options: &self.options }
    }

    /// As clients see it.
    pub(crate) fn view(&self, mountpoint: &std::path::Path) -> model::Volume {
        model::Volume {
            name: self.name.clone(),
            driver: self.driver.clone(),
            mountpoint: mountpoint.display().to_string(),
            created_at: Some(format_nano(self.created_at)),
            labels: map(&self.labels),
            options: map(&self.options),
            scope: Some(model::VolumeScopeEnum::LOCAL),
            ..model::Volume::default()
        }
    }
}

fn map(sorted: &BTreeMap<String, String>) -> HashMap<String, String> {
    sorted.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}
