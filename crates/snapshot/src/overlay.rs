//! Snapshots on the kernel's overlay file system: creating one is two directories and a link.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::layer::{Layer, LayerDraft, Shelf};
use crate::{Rootfs, Snapshotter, limit, tree};

/// The snapshotter that containers use.
#[derive(Debug)]
pub struct Overlay {
    shelf: Shelf,
}

impl Overlay {
    /// Opens or makes the store at `root`, and removes what a crash left half-done.
    pub fn open(root: &Path) -> Result<Self> {
        Ok(Self { shelf: Shelf::open(root)? })
    }
}

impl Snapshotter for Overlay {
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
        // The merged root shows the upper directory's mode, so that must be the image's.
        let mode = match top {
            Some(top) => mode_of(&self.shelf.chain(top)?[0])?,
            None => 0o755,
        };
        self.shelf.create_written(key, top, mode)
    }

    fn limit(&self, key: &str, bytes: u64) -> Result<()> {
        limit::apply(&self.shelf.snapshot(key)?, bytes)
    }

    fn rootfs(&self, key: &str) -> Result<Rootfs> {
        let lower = match self.shelf.top(key)? {
            Some(top) => self.shelf.chain(&top)?,
            None => Vec::new(),
        };
        self.shelf.rootfs_over(key, lower)
    }

    fn usage(&self, key: &str) -> Result<u64> {
        tree::bytes(&limit::written(&self.shelf.snapshot(key)?)?.join("upper"))
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

/// Permission bits of a layer's root directory.
pub(crate) fn mode_of(path: &Path) -> Result<u32> {
    let attributes = fs::metadata(path).map_err(Error::io("read", path))?;
    Ok(attributes.permissions().mode() & 0o7777)
}
