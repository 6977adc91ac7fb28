//! The part of the store that all implementations share: layers, drafts, keys and trash.
//!
//! The tree on disk is drawn in the crate's documentation.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::{limit, skeleton};

/// A committed layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Digest of this layer and all below it (OCI image specification, "Layer ChainID").
    pub chain_id: String,
    /// Chain id of the layer below.
    pub parent: Option<String>,
    /// Bytes of its files, as stated at commit.
    pub bytes: u64,
}

/// A layer that is being unpacked. Dropping it removes what was unpacked.
#[derive(Debug)]
pub struct LayerDraft {
    /// Where to unpack.
    pub dir: PathBuf,
    pub(crate) chain_id: String,
    pub(crate) parent: Option<String>,
    /// The directory of the draft, which holds `dir`.
    pub(crate) home: PathBuf,
    /// Its turn in the book of syncs, once it is sealed.
    sealed: Option<u64>,
    syncs: Arc<Syncs>,
}

/// Which drafts have reached the disk: one sync serves all that were sealed before it.
#[derive(Debug, Default)]
struct Syncs {
    sealed: AtomicU64,
    synced: AtomicU64,
}

impl LayerDraft {
    /// Says that all is unpacked: `bytes` is the size of its files. Where several drafts are sealed before the first is
    /// committed, they reach the disk together.
    ///
    /// # Errors
    /// [`Error::Io`] when the layer's record cannot be written.
    pub fn seal(&mut self, bytes: u64) -> Result<()> {
        let layer = Layer { chain_id: self.chain_id.clone(), parent: self.parent.clone(), bytes };
        let record = self.home.join("layer.json");
        let text =
            serde_json::to_vec(&layer).map_err(|source| Error::DamagedRecord { path: record.clone(), source })?;
        fs::write(&record, text).map_err(Error::io("write", &record))?;
        self.sealed = Some(self.syncs.sealed.fetch_add(1, Ordering::SeqCst) + 1);
        Ok(())
    }

    /// Brings it to the disk, unless a sync since it was sealed has done so.
    fn sync(&self) -> Result<()> {
        let all = self.syncs.sealed.load(Ordering::SeqCst);
        if self.sealed.is_some_and(|turn| turn <= self.syncs.synced.load(Ordering::SeqCst)) {
            return Ok(());
        }
        let home = fs::File::open(&self.home).map_err(Error::io("open", &self.home))?;
        rustix::fs::syncfs(&home).map_err(Error::io("sync", &self.home))?;
        self.syncs.synced.fetch_max(all, Ordering::SeqCst);
        Ok(())
    }
}

impl Drop for LayerDraft {
    fn drop(&mut self) {
        // After a commit it is gone already. What stays behind after a failure is swept at the next start.
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// Layers, snapshots' directories, drafts and trash below one root.
#[derive(Debug)]
pub(crate) struct Shelf {
    root: PathBuf,
    /// Layers read so far; filled on demand so that opening a store costs the same with one layer or thousands.
    known: Mutex<HashMap<String, Layer>>,
    syncs: Arc<Syncs>,
}

impl Shelf {
    /// Opens or makes the store, and removes what a crash left half-done.
    pub(crate) fn open(root: &Path) -> Result<Self> {
        make_private_dir(root)?;
        // PATH: the data root, which is the engine's.
        let root = root.canonicalize().map_err(Error::io("resolve", root))?;
        for part in ["layers", "containers", "drafts", "trash"] {
            make_private_dir(&root.join(part))?;
        }
        for part in ["drafts", "trash"] {
            sweep(&root.join(part))?;
        }
        skeleton::ensure(&root.join("skeleton"))?;
        Ok(Self { root, known: Mutex::default(), syncs: Arc::default() })
    }

    /// The lowest layer of every root file system.
    pub(crate) fn skeleton(&self) -> PathBuf {
        self.root.join("skeleton")
    }

    pub(crate) fn draft(&self, chain_id: &str, parent: Option<&str>) -> Result<LayerDraft> {
        hex_of(chain_id)?;
        parent.map(hex_of).transpose()?;
        let home = self.root.join("drafts").join(berth_kit::id::generate());
        make_private_dir(&home)?;
        let dir = home.join("fs");
        make_root_dir(&dir, 0o755)?;
        let syncs = Arc::clone(&self.syncs);
        Ok(LayerDraft {
            dir,
            chain_id: chain_id.to_owned(),
            parent: parent.map(str::to_owned),
            home,
            sealed: None,
            syncs,
        })
    }

    /// Record first, then everything to disk, then the one rename that makes it a layer.
    pub(crate) fn commit(&self, mut draft: LayerDraft, bytes: u64) -> Result<()> {
        if let Some(parent) = &draft.parent {
            self.layer(parent)?;
        }
        let layer = Layer { chain_id: draft.chain_id.clone(), parent: draft.parent.clone(), bytes };
        if draft.sealed.is_none() {
            draft.seal(bytes)?;
        }
        draft.sync()?;
        let home = self.layer_home(&layer.chain_id)?;
        match fs::rename(&draft.home, &home) {
            Ok(()) => {}
            Err(error) if is_taken(&error) => return Ok(()),
            Err(error) => return Err(Error::io("commit", &home)(error)),
        }
        let shelf = self.root.join("layers");
        fs::File::open(&shelf).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", &shelf))?;
        self.remember(layer);
        Ok(())
    }

    /// As [`Shelf::commit`], in the place of what is there.
    pub(crate) fn replace(&self, mut draft: LayerDraft, bytes: u64) -> Result<()> {
        let home = self.layer_home(&draft.chain_id)?;
        if fs::symlink_metadata(&home).is_err() {
            return self.commit(draft, bytes);
        }
        draft.seal(bytes)?;
        draft.sync()?;
        self.lock().remove(&draft.chain_id);
        // The draft has the old layer from now on, which goes with it.
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(rustix::fs::CWD, &draft.home, rustix::fs::CWD, &home, flags)
            .map_err(Error::io("replace", &home))?;
        let shelf = self.root.join("layers");
        fs::File::open(&shelf).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", &shelf))
    }

    /// The directory with a layer's files.
    pub(crate) fn layer_dir(&self, chain_id: &str) -> Result<PathBuf> {
        self.layer(chain_id)?;
        let path = self.layer_home(chain_id)?.join("fs");
        if path.is_dir() { Ok(path) } else { Err(Error::LayerDamaged { chain_id: chain_id.to_owned(), path }) }
    }

    /// Chain ids of layers whose record cannot be read.
    pub(crate) fn spoiled_layers(&self) -> Result<Vec<String>> {
        let ids = names(&self.root.join("layers"))?.into_iter().map(|hex| format!("sha256:{hex}"));
        Ok(ids.filter(|id| self.layer(id).is_err()).collect())
    }

    pub(crate) fn remove_spoiled(&self, chain_id: &str) -> Result<()> {
        let home = self.layer_home(chain_id)?;
        self.lock().remove(chain_id);
        self.discard(&home)
    }

    pub(crate) fn layer(&self, chain_id: &str) -> Result<Layer> {
        if let Some(layer) = self.lock().get(chain_id) {
            return Ok(layer.clone());
        }
        let path = self.layer_home(chain_id)?.join("layer.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::LayerMissing { chain_id: chain_id.to_owned() });
            }
            Err(error) => return Err(Error::io("read", &path)(error)),
        };
        let layer: Layer = serde_json::from_slice(&text).map_err(|source| Error::DamagedRecord { path, source })?;
        self.remember(layer.clone());
        Ok(layer)
    }

    /// The directories of a layer and of all below it, top first.
    pub(crate) fn chain(&self, top: &str) -> Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        let mut next = Some(top.to_owned());
        while let Some(chain_id) = next {
            let layer = self.layer(&chain_id)?;
            let path = self.layer_home(&chain_id)?.join("fs");
            if !path.exists() {
                return Err(Error::LayerDamaged { chain_id, path });
            }
            paths.push(path);
            next = layer.parent;
        }
        Ok(paths)
    }

    pub(crate) fn layers(&self) -> Result<Vec<Layer>> {
        let read = |hex: &String| match self.layer(&format!("sha256:{hex}")) {
            // One spoiled record hides no other layer; `fsck` tells of it.
            Err(Error::DamagedRecord { .. } | Error::LayerMissing { .. } | Error::InvalidChainId { .. }) => None,
            other => Some(other),
        };
        names(&self.root.join("layers"))?.iter().filter_map(read).collect()
    }

    pub(crate) fn remove_layer(&self, chain_id: &str) -> Result<()> {
        let home = self.free_layer(chain_id)?;
        self.discard(&home)
    }

    /// The directory of a layer that nothing stands on, which the store forgets.
    pub(crate) fn free_layer(&self, chain_id: &str) -> Result<PathBuf> {
        self.layer(chain_id)?;
        let in_use = |user: String| Error::LayerInUse { chain_id: chain_id.to_owned(), user };
        for layer in self.layers()? {
            if layer.parent.as_deref() == Some(chain_id) {
                return Err(in_use(format!("layer {}", layer.chain_id)));
            }
        }
        for key in self.snapshots()? {
            if self.top(&key)?.as_deref() == Some(chain_id) {
                return Err(in_use(format!("snapshot {key}")));
            }
        }
        self.lock().remove(chain_id);
        self.layer_home(chain_id)
    }

    /// Makes the directory of a snapshot with its link to the top layer; the caller fills it.
    pub(crate) fn create(&self, key: &str, top: Option<&str>) -> Result<PathBuf> {
        let home = self.snapshot_home(key)?;
        if let Some(top) = top {
            self.layer(top)?;
        }
        match fs::DirBuilder::new().mode(0o700).create(&home) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Error::SnapshotExists { key: key.to_owned() });
            }
            Err(error) => return Err(Error::io("create", &home)(error)),
        }
        if let Some(top) = top {
            let link = home.join("top");
            let target = Path::new("../../layers").join(hex_of(top)?);
            std::os::unix::fs::symlink(target, &link).map_err(Error::io("link", &link))?;
        }
        Ok(home)
    }

    /// Makes a snapshot with an empty upper directory, whose mode is that of the merged root.
    pub(crate) fn create_written(&self, key: &str, top: Option<&str>, mode: u32) -> Result<()> {
        let home = self.create(key, top)?;
        make_root_dir(&home.join("work"), 0o700)?;
        make_root_dir(&home.join("upper"), mode)
    }

    /// How to mount a snapshot over these layers, top first.
    pub(crate) fn rootfs_over(&self, key: &str, mut lower: Vec<PathBuf>) -> Result<crate::Rootfs> {
        let written = limit::written(&self.snapshot(key)?)?;
        lower.push(self.skeleton());
        let (upper, work) = (written.join("upper"), written.join("work"));
        Ok(crate::Rootfs { lower, upper, work, read_only: false, volatile: false })
    }

    /// The directory of a snapshot that exists.
    pub(crate) fn snapshot(&self, key: &str) -> Result<PathBuf> {
        let home = self.snapshot_home(key)?;
        if home.join("upper").is_dir() || limit::is_limited(&home) {
            Ok(home)
        } else {
            Err(Error::SnapshotMissing { key: key.to_owned() })
        }
    }

    /// Chain id of the layer a snapshot stands on.
    pub(crate) fn top(&self, key: &str) -> Result<Option<String>> {
        let link = self.snapshot_home(key)?.join("top");
        match fs::read_link(&link) {
            Ok(target) => {
                let hex = target.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                Ok(Some(format!("sha256:{hex}")))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", &link)(error)),
        }
    }

    pub(crate) fn remove(&self, key: &str) -> Result<()> {
        let home = self.snapshot_home(key)?;
        if !home.is_dir() {
            return Err(Error::SnapshotMissing { key: key.to_owned() });
        }
        limit::release(&home)?;
        self.discard(&home)
    }

    pub(crate) fn snapshots(&self) -> Result<Vec<String>> {
        names(&self.root.join("containers"))
    }

    /// Moves a directory out of sight in one step, then removes it. What a crash leaves is swept at the next start.
    pub(crate) fn discard(&self, path: &Path) -> Result<()> {
        let trash = self.root.join("trash").join(berth_kit::id::generate());
        fs::rename(path, &trash).map_err(Error::io("remove", path))?;
        fs::remove_dir_all(&trash).map_err(Error::io("remove", &trash))
    }

    pub(crate) fn layer_home(&self, chain_id: &str) -> Result<PathBuf> {
        Ok(self.root.join("layers").join(hex_of(chain_id)?))
    }

    fn snapshot_home(&self, key: &str) -> Result<PathBuf> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if key.is_empty() || key.len() > 128 || key.starts_with('.') || !key.bytes().all(plain) {
            return Err(Error::InvalidKey { key: key.to_owned() });
        }
        Ok(self.root.join("containers").join(key))
    }

    fn remember(&self, layer: Layer) {
        self.lock().insert(layer.chain_id.clone(), layer);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Layer>> {
        // The map is only a cache: whatever a panicking thread left in it is whole entries.
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A directory that is the root of a layer or snapshot: owned by the container's root, with exactly this mode.
pub(crate) fn make_root_dir(path: &Path, mode: u32) -> Result<()> {
    fs::create_dir(path).map_err(Error::io("create", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io("set the mode of", path))
}

/// A directory that only the engine may look into; what is below it belongs to strangers.
fn make_private_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::io("create", path))
}

/// The file-name part of a chain id.
fn hex_of(chain_id: &str) -> Result<&str> {
    chain_id
        .strip_prefix("sha256:")
        .filter(|hex| hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
        .ok_or_else(|| Error::InvalidChainId { chain_id: chain_id.to_owned() })
}

fn is_taken(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty | std::io::ErrorKind::AlreadyExists)
}

/// The names in a directory, ordered.
fn names(path: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(Error::io("list", path))? {
        let entry = entry.map_err(Error::io("list", path))?;
        found.push(entry.file_name().to_string_lossy().into_owned());
    }
    found.sort_unstable();
    Ok(found)
}

/// Empties a directory.
fn sweep(path: &Path) -> Result<()> {
    for name in names(path)? {
        let victim = path.join(name);
        fs::remove_dir_all(&victim).map_err(Error::io("remove", &victim))?;
    }
    Ok(())
}
