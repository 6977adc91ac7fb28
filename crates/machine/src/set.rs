//! `set`: processors, memory, balloon and the like. The balloon moves at once; the rest is there at the next start.

use serde::Deserialize;
use serde_json::json;

use crate::{Error, Machines, Result, Status};

/// What is to be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Set {
    /// Processors.
    #[serde(default)]
    pub vcpus: Option<u32>,
    /// Memory in bytes.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// What the balloon leaves to the guest, in bytes; 0 for all.
    #[serde(default)]
    pub balloon_bytes: Option<u64>,
    /// Model of the processor.
    #[serde(default)]
    pub cpu: Option<String>,
    /// Started with the daemon.
    #[serde(default)]
    pub autostart: Option<bool>,
}

impl Machines {
    /// Changes a machine; whether some of it is there only at the next start.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what cannot be, and nothing is changed.
    pub async fn set(&self, name: &str, set: Set) -> Result<bool> {
        let machine = self.find(name)?;
        let _turn = machine.turn.lock().await;
        let old = machine.definition();
        let mut fresh = old.as_ref().clone();
        fresh.vcpus = set.vcpus.unwrap_or(fresh.vcpus);
        fresh.memory_bytes = set.memory_bytes.unwrap_or(fresh.memory_bytes);
        fresh.cpu = set.cpu.unwrap_or(fresh.cpu);
        fresh.autostart = set.autostart.unwrap_or(fresh.autostart);
        if let Some(bytes) = set.balloon_bytes {
            fresh.balloon_bytes = (bytes != 0).then_some(bytes);
        }
        fresh.check()?;
        let hardware = fresh.vcpus != old.vcpus || fresh.memory_bytes != old.memory_bytes || fresh.cpu != old.cpu;
        if hardware {
            machine.require(&[Status::Off, Status::Running, Status::Paused], Error::SUSPENDED)?;
        }
        if set.balloon_bytes.is_some() && machine.status().is_alive() {
            let bytes = fresh.balloon_bytes.unwrap_or(old.memory_bytes);
            let told = self.shared.keeper(&machine.name).execute("balloon", json!({"value": bytes})).await;
            told.map_err(|reason| machine.monitor(reason))?;
        }
        let later = hardware && machine.status().is_alive();
        self.shared.store(&machine, fresh)?;
        self.shared.publish(&machine, "update");
        Ok(later)
    }
}
