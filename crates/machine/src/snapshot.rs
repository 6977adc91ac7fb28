//! `snapshot`: a machine as it is now, kept: its definition, its disks, and of one that runs its memory and devices.
//!
//! A running machine stands still meanwhile. Disks share their blocks with the snapshot where the file system can
//! (btrfs, xfs); elsewhere what is not zero is copied.

use std::{path::PathBuf, sync::Arc};

use berth_kit::time::Timestamp;
use serde::Serialize;

use crate::{
    Error, Machines, Result, Status, copy,
    definition::check_name,
    files::{self, Draft},
    list::moment,
    machines::{Machine, blocking, own_files},
    qemu::path_of,
    record::{Definition, Disk, Snapshot},
    state,
    suspend::SAVE_LIMIT,
};

/// A machine has at most so many.
const SNAPSHOTS_MAX: usize = 256;

/// A snapshot in a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Taken {
    /// Its name.
    pub name: String,
    /// When it was taken, RFC 3339.
    pub taken_at: String,
    /// It has the memory and devices of a running machine.
    pub live: bool,
}

impl Machines {
    /// Takes a snapshot.
    ///
    /// # Errors
    /// [`Error::State`] for a suspended machine; what hinders it, and nothing of it is left.
    pub async fn snapshot(&self, name: &str, snapshot: &str) -> Result<()> {
        check_name("snapshot", snapshot)?;
        let machine = self.find(name)?;
        let _turn = machine.turn.lock().await;
        machine.require(&[Status::Off, Status::Running, Status::Paused], Error::SUSPENDED)?;
        let home = self.shared.home(&machine.name);
        if files::snapshot_names(&home).len() >= SNAPSHOTS_MAX {
            return Err(Error::invalid(format!("a machine has at most {SNAPSHOTS_MAX} snapshots: remove one")));
        }
        let place = files::snapshots(&home).join(snapshot);
        if place.exists() {
            return Err(Error::Exists { what: "snapshot", name: snapshot.to_owned() });
        }
        let draft = blocking(move || Draft::below(&files::snapshots(&home))).await?;
        let was_running = machine.status() == Status::Running;
        if was_running {
            self.pause(&machine).await?;
        }
        let outcome = self.take(&machine, snapshot, draft, place).await;
        let resumed = if was_running { self.go_on(&machine).await } else { Ok(()) };
        outcome.and(resumed)?;
        self.shared.publish(&machine, "snapshot");
        Ok(())
    }

    async fn take(&self, machine: &Arc<Machine>, name: &str, draft: Draft, place: PathBuf) -> Result<()> {
        let live = machine.status().is_alive();
        if live {
            // It also writes what the monitor holds back of the disks.
            let keeper = self.shared.keeper(&machine.name);
            let saved = state::save(&keeper, &draft.path.join("state"), SAVE_LIMIT).await;
            saved.map_err(|reason| machine.monitor(reason))?;
            let state = draft.path.join("state");
            blocking(move || files::sync(&state)).await?;
        }
        let (definition, own, name) = (machine.present(), own_files(&self.shared.home(&machine.name)), name.to_owned());
        blocking(move || {
            let disks = draft.path.join("disks");
            files::make_directory(&disks)?;
            for disk in writable(&definition) {
                let from = path_of(&own, &disk.source);
                copy::disk(&from, &disks.join(&disk.name))?;
            }
            let taken_ns = now_ns();
            let definition = definition.as_ref().clone();
            files::write_snapshot(&draft.path, &Snapshot { version: 1, name, taken_ns, live, definition })?;
            draft.settle(&place, "snapshot")
        })
        .await
    }

    /// A machine's snapshots, the oldest first.
    ///
    /// # Errors
    /// [`Error::NoSuchMachine`].
    pub async fn snapshots(&self, name: &str) -> Result<Vec<Taken>> {
        let home = self.shared.home(&self.find(name)?.name);
        blocking(move || {
            let names = files::snapshot_names(&home);
            let mut all: Vec<Snapshot> = names
                .iter()
                .filter_map(|name| files::read_snapshot(&files::snapshots(&home).join(name)).ok())
                .collect();
            all.sort_by_key(|snapshot| snapshot.taken_ns);
            let taken = |one: Snapshot| Taken { name: one.name, taken_at: moment(Some(one.taken_ns)), live: one.live };
            Ok(all.into_iter().map(taken).collect())
        })
        .await
    }

    /// Removes a snapshot.
    ///
    /// # Errors
    /// [`Error::NoSuchSnapshot`].
    pub async fn remove_snapshot(&self, name: &str, snapshot: &str) -> Result<()> {
        let machine = self.find(name)?;
        let _turn = machine.turn.lock().await;
        let place = self.shared.snapshot_place(&machine, snapshot)?;
        blocking(move || files::remove_tree(&place)).await
    }
}

impl crate::machines::Shared {
    /// Where a snapshot is.
    pub fn snapshot_place(&self, machine: &Machine, snapshot: &str) -> Result<PathBuf> {
        check_name("snapshot", snapshot)?;
        let place = files::snapshots(&self.home(&machine.name)).join(snapshot);
        match place.is_dir() {
            true => Ok(place),
            false => Err(Error::NoSuchSnapshot { machine: machine.name.clone(), name: snapshot.to_owned() }),
        }
    }
}

/// The disks that a guest writes to.
pub fn writable(definition: &Definition) -> impl Iterator<Item = &Disk> {
    definition.disks.iter().filter(|disk| !disk.is_read_only())
}

/// Now, in nanoseconds of Unix time.
pub fn now_ns() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(0)
}
