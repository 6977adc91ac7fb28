//! `ls`: what there is, from memory.

use berth_kit::time;
use serde::Serialize;

use crate::{Machines, Status, machines::Machine};

/// A machine in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// Its uuid.
    pub uuid: String,
    /// What it is doing.
    pub status: Status,
    /// Processors.
    pub vcpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Started with the daemon.
    pub autostart: bool,
    /// When it was started, RFC 3339; empty for one that does not run.
    pub started_at: String,
    /// How many disks and CD-ROMs it has.
    pub disks: usize,
    /// The networks it is on.
    pub networks: Vec<String>,
}

impl Machines {
    /// All machines, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Summary> {
        self.all().iter().map(|machine| summary(machine)).collect()
    }
}

fn summary(machine: &Machine) -> Summary {
    let facts = machine.facts();
    let definition = &facts.definition;
    let network = |nic: &crate::record::Nic| if nic.user { "user".to_owned() } else { nic.network.clone() };
    Summary {
        name: machine.name.clone(),
        uuid: definition.uuid.clone(),
        status: machine.status(),
        vcpus: definition.vcpus,
        memory_bytes: definition.memory_bytes,
        autostart: definition.autostart,
        started_at: moment(facts.started_ns),
        disks: definition.disks.len(),
        networks: definition.networks.iter().map(network).collect(),
    }
}

/// RFC 3339, or nothing.
pub fn moment(at_ns: Option<i64>) -> String {
    let at = at_ns.and_then(|ns| time::Timestamp::from_nanosecond(ns.into()).ok());
    at.map_or_else(String::new, time::format_nano)
}
