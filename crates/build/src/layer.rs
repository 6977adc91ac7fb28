//! What a step writes to, and how that becomes a layer.
//!
//! ```text
//! Scratch::create ─► mount, or a container ─► Scratch::seal: upper ─► blob + layer of the snapshotter
//!       └── drop: nothing was
//! ```

use std::{
    io::{BufWriter, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use berth_archive::{hash, pack};
use berth_image::{Images, OwnLayer};
use berth_snapshot::{Rootfs, Snapshotter};
use berth_spec::Digest;
use rustix::fs::{AtFlags, FileType, OFlags, Timespec, Timestamps};

use crate::{Error, Result, tree};

/// A writable layer over others; gone when dropped.
pub(crate) struct Scratch {
    snapshots: Arc<dyn Snapshotter>,
    key: String,
    rootfs: Rootfs,
}

impl Scratch {
    /// On top of `top`, or of nothing.
    pub fn create(snapshots: &Arc<dyn Snapshotter>, top: Option<&Digest>) -> Result<Self> {
        let key = format!("build-{}", berth_kit::id::generate());
        snapshots.create(&key, top.map(Digest::as_str))?;
        let made = snapshots.rootfs(&key);
        let rootfs = made.inspect_err(|_| drop(snapshots.remove(&key)))?;
        Ok(Self { snapshots: Arc::clone(snapshots), key, rootfs: Rootfs { volatile: true, ..rootfs } })
    }

    /// For a container, with the mount points that an image may lack.
    pub fn rootfs(&self) -> Rootfs {
        self.rootfs.clone()
    }

    /// A detached mount of what the image itself has.
    pub fn mount(&self, read_only: bool) -> Result<OwnedFd> {
        let mut rootfs = Rootfs { read_only, ..self.rootfs.clone() };
        rootfs.lower.retain(|path| path.file_name().is_none_or(|name| name != "skeleton"));
        Ok(rootfs.mount(None)?)
    }

    /// Makes a layer of what was written. None when that is nothing.
    pub fn seal(self, images: &Images, below: Option<&Digest>, epoch: Option<i64>) -> Result<Option<OwnLayer>> {
        let upper = &self.rootfs.upper;
        let open = std::fs::File::open(upper).map_err(Error::file("open", upper))?;
        if tree::names(open.as_fd()).map_err(Error::call("read", upper))?.is_empty() {
            return Ok(None);
        }
        if let Some(epoch) = epoch {
            clamp(open.as_fd(), epoch)?;
        }
        let mut blob = images.content().writer()?;
        let mut packed = hash::Hashing::new(BufWriter::with_capacity(berth_archive::BUFFER_BYTES, &mut blob));
        packed = pack::layer(open.as_fd(), packed)?;
        let (mut writer, diff_id, archive_bytes) = packed.finish();
        writer.flush().map_err(Error::file("write", upper))?;
        drop(writer);
        let blob_bytes = blob.size();
        let blob = blob.commit(None)?;
        let chain_id = chain(below, &diff_id);
        let bytes = self.snapshots.usage(&self.key)?;
        if self.snapshots.layer_size(chain_id.as_str()).is_err() {
            let draft = self.snapshots.draft_layer(chain_id.as_str(), below.map(Digest::as_str))?;
            move_all(open.as_fd(), upper, &draft.dir)?;
            self.snapshots.commit_layer(draft, bytes)?;
        }
        let layer = OwnLayer { chain_id, diff_id, blob, blob_bytes, archive_bytes, bytes };
        images.adopt_layer(&layer)?;
        Ok(Some(layer))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = self.snapshots.remove(&self.key) {
            tracing::warn!(key = self.key, error = &error as &dyn std::error::Error, "cannot remove a step's layer");
        }
    }
}

/// The chain id of a layer over others (OCI image specification, "Layer ChainID").
pub(crate) fn chain(below: Option<&Digest>, diff_id: &Digest) -> Digest {
    match below {
        None => diff_id.clone(),
        Some(below) => hash::digest(format!("{below} {diff_id}").as_bytes()),
    }
}

/// The same changes on other layers: a layer is made of its blob once more.
pub(crate) fn rebase(
    images: &Images,
    snapshots: &Arc<dyn Snapshotter>,
    layer: &OwnLayer,
    below: Option<&Digest>,
) -> Result<OwnLayer> {
    let chain_id = chain(below, &layer.diff_id);
    if let Some(known) = images.layer(&chain_id) {
        return Ok(known);
    }
    let draft = snapshots.draft_layer(chain_id.as_str(), below.map(Digest::as_str))?;
    let blob = images.content().open_blob(&layer.blob)?;
    let reader = berth_archive::compression::decoder(blob)?;
    let root = std::fs::File::open(&draft.dir).map_err(Error::file("open", &draft.dir))?;
    let limits = berth_archive::unpack::Limits::default();
    let whiteouts = berth_archive::unpack::Whiteouts::Overlay;
    berth_archive::unpack::unpack_layer(reader, root.as_fd(), &limits, whiteouts, berth_archive::IdShift::default())?;
    snapshots.commit_layer(draft, layer.bytes)?;
    let layer = OwnLayer { chain_id, ..layer.clone() };
    images.adopt_layer(&layer)?;
    Ok(layer)
}

/// The upper directory's entries become the draft's: they lie on one file system.
fn move_all(from: BorrowedFd<'_>, upper: &Path, to: &Path) -> Result<()> {
    let target = std::fs::File::open(to).map_err(Error::file("open", to))?;
    for name in tree::names(from).map_err(Error::call("read", upper))? {
        rustix::fs::renameat(from, &name[..], &target, &name[..]).map_err(Error::call("move", to))?;
    }
    let stat = rustix::fs::fstat(from).map_err(Error::call("look at", upper))?;
    let mode = rustix::fs::Mode::from_raw_mode(stat.st_mode & 0o7777);
    rustix::fs::fchmod(&target, mode).map_err(Error::call("chmod", to))
}

/// No time later than `epoch`, in seconds since 1970: what a build makes must not tell when.
fn clamp(directory: BorrowedFd<'_>, epoch: i64) -> Result<()> {
    for name in tree::names(directory).map_err(Error::call("read", "a layer"))? {
        let shown = String::from_utf8_lossy(&name).into_owned();
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statat(directory, &name[..], flags).map_err(Error::call("look at", &shown))?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let below = rustix::fs::openat(directory, &name[..], flags, rustix::fs::Mode::empty())
                .map_err(Error::call("open", &shown))?;
            clamp(below.as_fd(), epoch)?;
        }
        if stat.st_mtime > epoch || (stat.st_mtime == epoch && stat.st_mtime_nsec > 0) {
            let time = Timespec { tv_sec: epoch, tv_nsec: 0 };
            let times = Timestamps { last_access: time, last_modification: time };
            rustix::fs::utimensat(directory, &name[..], &times, flags).map_err(Error::call("date", &shown))?;
        }
    }
    Ok(())
}
