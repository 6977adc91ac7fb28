//! Questions and answers of the protocol.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// `/Plugin.Activate`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Activated {
    #[serde(rename = "Implements")]
    pub implements: Vec<String>,
}

/// `/VolumeDriver.Create`.
#[derive(Serialize)]
pub struct Create<'a> {
    #[serde(rename = "Name")]
    pub name: &'a str,
    #[serde(rename = "Opts")]
    pub options: &'a BTreeMap<String, String>,
}

/// `/VolumeDriver.Remove`, `.Path`, `.Get`.
#[derive(Serialize)]
pub struct Named<'a> {
    #[serde(rename = "Name")]
    pub name: &'a str,
}

/// `/VolumeDriver.Mount`, `.Unmount`.
#[derive(Serialize)]
pub struct Mount<'a> {
    #[serde(rename = "Name")]
    pub name: &'a str,
    /// Who mounts: a plugin may count by it.
    #[serde(rename = "ID")]
    pub id: &'a str,
}

/// Every answer of a driver; each has some of these.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Answer {
    /// What went wrong, or nothing.
    pub err: Option<String>,
    pub mountpoint: Option<String>,
    pub volume: Option<Volume>,
    pub volumes: Option<Vec<Volume>>,
}

/// A volume as a plugin tells of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Volume {
    #[serde(rename = "Name")]
    pub name: String,
    #[serde(rename = "Mountpoint")]
    pub mountpoint: Option<String>,
    #[serde(rename = "CreatedAt")]
    pub created_at: Option<String>,
    #[serde(rename = "Status")]
    pub status: Option<HashMap<String, serde_json::Value>>,
}
