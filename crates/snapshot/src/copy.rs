//! The trivial snapshotter: each container gets a full copy of its image. Slow and large, but it needs nothing of the
//! kernel. A container's changes cannot be told from its image here: usage counts the whole tree.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::layer::{Layer, LayerDraft, Shelf, make_root_dir};
use crate::{Rootfs, Snapshotter, tree};

/// Copies layers into each snapshot, lowest first, and obeys whiteouts on the way.
#[derive(Debug)]
pub struct Copy {
    shelf: Shelf,
}

impl Copy {
    /// Opens or makes the store at `root`, and removes what a crash left half-done.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self { shelf: Shelf::open(root)? })
    }
}

impl Snapshotter for Copy {
    fn draft_layer(&self, chain_id: &str, parent: Option<&str>) -> Result<LayerDraft> {
        self.shelf.draft(chain_id, parent)
    }

    fn commit_layer(&self, draft: LayerDraft, bytes: u64) -> Result<()> {
        self.shelf.commit(draft, bytes)
    }

    fn layer_size(&self, chain_id: &str) -> Result<u64> {
        Ok(self.shelf.layer(chain_id)?.bytes)
    }

    fn remove_layer(&self, chain_id: &str) -> Result<()> {
        self.shelf.remove_layer(chain_id)
    }

    fn replace_layer(&self, draft: LayerDraft, bytes: u64) -> Result<()> {
        self.shelf.replace(draft, bytes)
    }

    fn layer_dir(&self, chain_id: &str) -> Result<PathBuf> {
        self.shelf.layer_dir(chain_id)
    }

    fn spoiled_layers(&self) -> Result<Vec<String>> {
        self.shelf.spoiled_layers()
    }

    fn remove_spoiled(&self, chain_id: &str) -> Result<()> {
        self.shelf.remove_spoiled(chain_id)
    }

    fn layers(&self) -> Result<Vec<Layer>> {
        self.shelf.layers()
    }

    fn create(&self, key: &str, top: Option<&str>) -> Result<()> {
        let mut layers = top.map(|top| self.shelf.chain(top)).transpose()?.unwrap_or_default();
        layers.push(self.shelf.skeleton());
        let home = self.shelf.create(key, top)?;
        // Copied beside the final name: a snapshot whose upper directory is there is whole.
        let draft = home.join("draft");
        make_root_dir(&draft, 0o755)?;
        let copied = layers.iter().rev().try_for_each(|layer| tree::apply(layer, &draft));
        if let Err(error) = copied {
            // The error that matters is the copy's.
            let _ = self.shelf.remove(key);
            return Err(error);
        }
        fs::rename(&draft, home.join("upper")).map_err(Error::io("finish", &draft))
    }

    fn limit(&self, key: &str, _bytes: u64) -> Result<()> {
        self.shelf.snapshot(key)?;
        Err(Error::LimitRefused { driver: "copy" })
    }

    fn rootfs(&self, key: &str) -> Result<Rootfs> {
        let home = self.shelf.snapshot(key)?;
        let (upper, work) = (home.join("upper"), home.join("work"));
        Ok(Rootfs { lower: Vec::new(), upper, work, read_only: false, volatile: false })
    }

    fn usage(&self, key: &str) -> Result<u64> {
        tree::bytes(&self.shelf.snapshot(key)?.join("upper"))
    }

    fn remove(&self, key: &str) -> Result<()> {
        self.shelf.remove(key)
    }

    fn top(&self, key: &str) -> Result<Option<String>> {
        self.shelf.top(key)
    }

    fn snapshots(&self) -> Result<Vec<String>> {
        self.shelf.snapshots()
    }
}
