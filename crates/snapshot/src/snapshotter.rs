//! The seam between images and the file systems that hold them.

use std::path::PathBuf;

use crate::{Layer, LayerDraft, Result, Rootfs};

/// Keeps image layers and makes root file systems of them.
///
/// # Vocabulary
/// A *layer* is one step of an image, unpacked. It is named by its *chain id*: the digest that stands for the layer
/// and all below it, so that equal stacks are stored once. A layer never changes. A *draft* is a layer that is still
/// being unpacked. A *snapshot* is what one container writes to, on top of a layer (or of nothing); its *key* is the
/// container's id. A [`Rootfs`] describes how to mount a snapshot; it is plain data, so that another process can do it.
///
/// # Life cycle
/// ```text
/// draft_layer ──► unpack into draft.dir ──► commit_layer ──► layer ──► remove_layer
///      └── drop: nothing was                                   │
///                                                  create ──► snapshot ──► rootfs, usage ──► remove
/// ```
/// Drafts of one image may be unpacked at the same time and in any order; they are committed from the lowest up.
/// Whoever commits a layer that is already there has lost a race and gets success: the draft is thrown away.
/// A layer that carries another layer or a snapshot cannot be removed. A snapshot may be removed while it is mounted:
/// the mount lives on until its last user ends.
///
/// # Example
/// ```no_run
/// # fn main() -> berth_snapshot::Result<()> {
/// use berth_snapshot::{Snapshotter, overlay::Overlay};
/// let store = Overlay::open("/var/lib/berth/snapshot".as_ref())?;
/// let chain_id = format!("sha256:{:064x}", 1);
/// let draft = store.draft_layer(&chain_id, None)?;
/// std::fs::write(draft.dir.join("hello"), "hi").expect("unpack");
/// store.commit_layer(draft, 2)?;
/// store.create("web", Some(&chain_id))?;
/// let mount = store.rootfs("web")?.mount(None)?; // detached; attach it where you like
/// # drop(mount); Ok(())
/// # }
/// ```
pub trait Snapshotter: Send + Sync {
    /// Begins a layer. Unpack into the draft's `dir`: whiteouts as character devices 0/0, opaque directories as
    /// `trusted.overlay.opaque=y`, ids as in the archive. The parent need not be there yet.
    fn draft_layer(&self, chain_id: &str, parent: Option<&str>) -> Result<LayerDraft>;

    /// Makes the draft a layer, durably. `bytes` is the size of its files, which [`layer_size`](Self::layer_size)
    /// repeats. Fails with `LayerMissing` when the parent is not there.
    fn commit_layer(&self, draft: LayerDraft, bytes: u64) -> Result<()>;

    /// The size in bytes that was stated at commit.
    fn layer_size(&self, chain_id: &str) -> Result<u64>;

    /// Removes a layer; `LayerInUse` while anything stands on it.
    fn remove_layer(&self, chain_id: &str) -> Result<()>;

    /// Puts the draft in the place of the layer with its chain id, whatever is or is not there; as
    /// [`commit_layer`](Self::commit_layer) otherwise. What has the old one mounted keeps it only while its files last.
    fn replace_layer(&self, draft: LayerDraft, bytes: u64) -> Result<()>;

    /// Where the files of a layer are, to be read. `LayerDamaged` when they are gone.
    fn layer_dir(&self, chain_id: &str) -> Result<PathBuf>;

    /// Chain ids of layers whose description cannot be read; [`layers`](Self::layers) leaves them out.
    fn spoiled_layers(&self) -> Result<Vec<String>>;

    /// Removes a layer whose description cannot be read.
    fn remove_spoiled(&self, chain_id: &str) -> Result<()>;

    /// Every layer, ordered by chain id.
    fn layers(&self) -> Result<Vec<Layer>>;

    /// Makes a snapshot on top of a layer, or of nothing.
    fn create(&self, key: &str, top: Option<&str>) -> Result<()>;

    /// Lets a snapshot that nobody has written to take no more than so many bytes on disk; whoever writes more gets
    /// `ENOSPC`. `LimitRefused` where it cannot be done, `LimitTooSmall` below [`crate::LIMIT_BYTES_MIN`].
    fn limit(&self, key: &str, bytes: u64) -> Result<()>;

    /// How to mount a snapshot.
    fn rootfs(&self, key: &str) -> Result<Rootfs>;

    /// Bytes in files that the container itself wrote (Docker's `SizeRw`); hard links count once.
    fn usage(&self, key: &str) -> Result<u64>;

    /// Removes a snapshot and all that was written to it.
    fn remove(&self, key: &str) -> Result<()>;

    /// Chain id of the layer that a snapshot stands on.
    fn top(&self, key: &str) -> Result<Option<String>>;

    /// Every snapshot's key, ordered.
    fn snapshots(&self) -> Result<Vec<String>>;

    /// Gives back what is held for speed alone, before the end of the process; roots that are mounted stay.
    fn close(&self) {}
}
