//! `inspect`: a machine whole.

use berth_vm::{
    doctor::{self, Probe},
    host,
};
use serde::Serialize;
use serde_json::json;

use crate::{
    Machines, Result, Status, files,
    list::moment,
    machines::blocking,
    record::{Definition, Exit},
};

/// A machine whole.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct View {
    /// Its name.
    pub name: String,
    /// What networks know it by.
    pub id: String,
    /// What it is doing.
    pub status: Status,
    /// When it was started, RFC 3339; empty for one that does not run.
    pub started_at: String,
    /// How its last run ended.
    pub last_exit: Option<Exit>,
    /// Who runs machines here, and why.
    pub monitor: Monitor,
    /// What the guest has of its memory, in bytes; of one that runs.
    pub balloon_bytes: Option<u64>,
    /// Its addresses on the engine's networks; of one that runs.
    pub addresses: Vec<Address>,
    /// Names of its snapshots.
    pub snapshots: Vec<String>,
    /// Where its files are.
    pub directory: String,
    /// What it is.
    pub definition: Definition,
}

/// Who runs machines.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Monitor {
    /// `qemu-kvm`, `qemu-tcg` or `none`.
    pub name: &'static str,
    /// One sentence.
    pub why: String,
}

/// An address on a network.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Address {
    /// The network.
    pub network: String,
    /// Its device's hardware address.
    pub mac: String,
    /// Its IPv4 address.
    pub ipv4: String,
    /// Its IPv6 address.
    pub ipv6: String,
}

impl Machines {
    /// A machine whole. One that does not answer is told of without what it would have said.
    ///
    /// # Errors
    /// [`crate::Error::NoSuchMachine`].
    pub async fn inspect(&self, name: &str) -> Result<View> {
        let machine = self.find(name)?;
        let (facts, status) = (machine.facts(), machine.status());
        let home = self.shared.home(&machine.name);
        let balloon_bytes = if status == Status::Running {
            let keeper = self.shared.keeper(&machine.name);
            let asked = keeper.execute("query-balloon", json!({}));
            let asked = tokio::time::timeout(std::time::Duration::from_secs(2), asked).await;
            asked.ok().and_then(Result::ok).and_then(|answer| answer["actual"].as_u64())
        } else {
            None
        };
        let id = facts.definition.id();
        let addresses = self.shared.addresses(&machine.present());
        let directory = home.display().to_string();
        let snapshots = blocking(move || Ok(files::snapshot_names(&home))).await?;
        Ok(View {
            name: machine.name.clone(),
            id,
            status,
            started_at: moment(facts.started_ns),
            last_exit: facts.exit,
            monitor: blocking(|| Ok(monitor())).await?,
            balloon_bytes,
            addresses,
            snapshots,
            directory,
            definition: facts.definition.as_ref().clone(),
        })
    }
}

fn monitor() -> Monitor {
    let probe = doctor::probe();
    if host::qemu().is_none() {
        let why = "qemu-system-x86_64 is not installed (Debian: apt-get install qemu-system-x86)".to_owned();
        return Monitor { name: "none", why };
    }
    let name = if matches!(probe, Probe::Fast(_)) { "qemu-kvm" } else { "qemu-tcg" };
    Monitor { name, why: probe.sentence() }
}
