//! Layers and blobs that no image needs are removed: by marking what is needed, not by counting.
//!
//! ```text
//! Build::begin ─► bytes ─► record ─► drop(Build) ──last one, and something was removed meanwhile──► collect
//! remove, prune ─► record gone ─► collect, unless a build runs: then the last build does it
//! ```
//!
//! A build brings in bytes before the record that needs them exists, so nothing is collected while one runs.

use std::{
    collections::BTreeSet,
    sync::{MutexGuard, PoisonError, atomic::Ordering},
};

use berth_spec::Digest;

use crate::{Images, Result, images::Shared};

/// Running builds, and whether a collection waits for their end.
#[derive(Debug, Default)]
pub struct Builders {
    running: usize,
    waiting: bool,
}

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Chain ids of removed layers.
    pub layers: Vec<Digest>,
    /// Number of removed blobs.
    pub blobs: usize,
    /// Bytes of files in the removed layers, and of the blobs.
    pub bytes: u64,
}

/// While it lives, nothing is collected.
pub struct Build<'s> {
    shared: &'s Shared,
}

impl<'s> Build<'s> {
    pub fn begin(shared: &'s Shared) -> Self {
        shared.builders().running += 1;
        Self { shared }
    }

    /// Takes over what a forgotten [`Build::begin`] began.
    pub fn resume(shared: &'s Shared) -> Self {
        Self { shared }
    }

    /// Ends it and has what it left behind removed: blobs that were here already, layers of a failure.
    pub fn tidy(self) {
        self.shared.builders().waiting = true;
    }
}

impl Drop for Build<'_> {
    fn drop(&mut self) {
        let mut builders = self.shared.builders();
        builders.running -= 1;
        if builders.running == 0 && std::mem::take(&mut builders.waiting) {
            self.shared.collect_now(builders);
        }
    }
}

impl Images {
    /// Says that [`Images::sweep`] comes later; whoever looks for what is wrong before has it done first.
    pub fn expect_sweep(&self) {
        self.shared.is_unswept.store(true, Ordering::Relaxed);
    }

    /// Removes what a crash left: layers and blobs without image, records without layer. For the daemon's start.
    ///
    /// # Errors
    /// [`crate::Error::Snapshot`], [`crate::Error::Content`], [`crate::Error::Record`].
    pub async fn sweep(&self) -> Result<Swept> {
        self.blocking(|shared| {
            let swept = shared.collect()?;
            shared.forget_strangers()?;
            shared.is_unswept.store(false, Ordering::Relaxed);
            Ok(swept)
        })
        .await
    }
}

impl Shared {
    fn builders(&self) -> MutexGuard<'_, Builders> {
        self.builders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes what no image needs; while a build runs, that is left to its end.
    pub fn collect(&self) -> Result<Swept> {
        let mut builders = self.builders();
        if builders.running > 0 {
            builders.waiting = true;
            return Ok(Swept::default());
        }
        self.collect_guarded(&builders)
    }

    fn collect_now(&self, builders: MutexGuard<'_, Builders>) {
        if let Err(error) = self.collect_guarded(&builders) {
            tracing::warn!(%error, "cannot remove what no image needs");
        }
    }

    fn collect_guarded(&self, _builders: &MutexGuard<'_, Builders>) -> Result<Swept> {
        let mut swept = Swept::default();
        self.collect_layers(&mut swept)?;
        self.collect_blobs(&mut swept)?;
        Ok(swept)
    }

    /// Layers go from the top of their chains downwards, as one that carries another cannot go.
    fn collect_layers(&self, swept: &mut Swept) -> Result<()> {
        let mut needed = self.view(|index| index.needed_layers());
        needed.extend(self.keeper.get().map(|keeper| keeper.layers()).unwrap_or_default());
        let present = self.snapshots.layers()?;
        let mut idle: Vec<_> = present
            .iter()
            .filter(|layer| Digest::parse(&layer.chain_id).is_ok_and(|id| !needed.contains(&id)))
            .collect();
        loop {
            let carried: BTreeSet<&str> = idle.iter().filter_map(|layer| layer.parent.as_deref()).collect();
            let (free, rest): (Vec<_>, Vec<_>) =
                idle.into_iter().partition(|layer| !carried.contains(layer.chain_id.as_str()));
            if free.is_empty() {
                break;
            }
            for layer in free {
                match self.snapshots.remove_layer(&layer.chain_id) {
                    Ok(()) => {
                        swept.bytes += layer.bytes;
                        swept.layers.extend(Digest::parse(&layer.chain_id));
                    }
                    // A container still stands on it: it goes when that is gone.
                    Err(berth_snapshot::Error::LayerInUse { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            idle = rest;
        }
        let left: BTreeSet<Digest> =
            self.snapshots.layers()?.iter().filter_map(|layer| Digest::parse(&layer.chain_id).ok()).collect();
        let stale: Vec<Digest> =
            self.view(|index| index.layers.keys().filter(|chain| !left.contains(chain)).cloned().collect());
        stale.iter().try_for_each(|chain| self.delete_layer(chain))
    }

    fn collect_blobs(&self, swept: &mut Swept) -> Result<()> {
        let mut needed: BTreeSet<Digest> = self.view(|index| {
            let layers = index.layers.values().map(|layer| layer.blob.clone());
            layers.chain(index.images.keys().cloned()).collect()
        });
        needed.extend(self.keeper.get().map(|keeper| keeper.blobs()).unwrap_or_default());
        for blob in self.content.list()?.iter().filter(|blob| !needed.contains(blob)) {
            swept.bytes += self.content.size(blob).unwrap_or(0);
            self.content.remove(blob)?;
            swept.blobs += 1;
        }
        Ok(())
    }
}
