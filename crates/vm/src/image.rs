//! Block images of root file systems: one for each stack of layers, read only, made once.
//!
//! ```text
//! <root>/images/<sha256 of the stack>.img   the layers merged, an EROFS file system
//! <root>/images/draft-…                     being made; swept when another is made
//! ```
//!
//! Images are padded, as holes, to one size: a machine that is restored from a template finds a disk of the size that it
//! was taken with.

use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use berth_kit::id;
use berth_snapshot::Rootfs;
use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// What every image seems to be long, in bytes.
pub const IMAGE_BYTES: u64 = 64 << 30;

/// Images below one directory.
#[derive(Debug, Clone)]
pub struct Images {
    root: PathBuf,
}

impl Images {
    /// Images below `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.join("images") }
    }

    /// The image of the layers of `rootfs`, made when it is not there.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Program`].
    pub fn of(&self, rootfs: &Rootfs) -> Result<PathBuf> {
        let path = self.root.join(format!("{}.img", digest(rootfs)));
        if path.exists() {
            return Ok(path);
        }
        fs::create_dir_all(&self.root).map_err(Error::file("make", &self.root))?;
        let draft = self.root.join(format!("draft-{}", id::generate()));
        let made = write(rootfs, &draft)
            .and_then(|()| pad(&draft))
            .and_then(|()| fs::rename(&draft, &path).map_err(Error::file("rename to", &path)));
        if made.is_err() {
            let _ = fs::remove_file(&draft);
        }
        made.map(|()| path)
    }

    /// Removes images of stacks that are not among `kept`, and drafts that nobody finishes.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn sweep(&self, kept: &[Rootfs]) -> Result<u64> {
        let kept: Vec<String> = kept.iter().map(|rootfs| format!("{}.img", digest(rootfs))).collect();
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            other => other.map_err(Error::file("read", &self.root))?,
        };
        let mut freed = 0;
        for entry in entries.filter_map(std::result::Result::ok) {
            if kept.iter().any(|name| entry.file_name() == name.as_str()) {
                continue;
            }
            let path = entry.path();
            let blocks = std::os::unix::fs::MetadataExt::blocks(&entry.metadata().map_err(Error::file("read", &path))?);
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
            freed += blocks * 512;
        }
        Ok(freed)
    }
}

/// A stack is known by its layers' directories, whose names are their chain ids.
fn digest(rootfs: &Rootfs) -> String {
    let mut hash = Sha256::new();
    for layer in &rootfs.lower {
        let bytes = layer.as_os_str().as_bytes();
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    id::hex(&hash.finalize())
}

fn pad(path: &Path) -> Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path).map_err(Error::file("open", path))?;
    file.set_len(IMAGE_BYTES).map_err(Error::file("extend", path))
}

/// Merges the layers, whose order is from the lowest up there, into one file system.
fn write(rootfs: &Rootfs, path: &Path) -> Result<()> {
    let layers = if rootfs.lower.is_empty() { vec![rootfs.upper.clone()] } else { rootfs.lower.clone() };
    let mut open = Vec::with_capacity(layers.len());
    for layer in layers.iter().rev() {
        open.push(fs::File::open(layer).map_err(Error::file("open", layer))?);
    }
    let layers: Vec<_> = open.iter().map(std::os::fd::AsFd::as_fd).collect();
    let file = fs::File::create(path).map_err(Error::file("make", path))?;
    let mut out = std::io::BufWriter::with_capacity(1 << 20, file);
    berth_erofs::write_merged(&mut out, &layers)
        .map_err(|error| Error::malformed("the layers", crate::message::Failure::of("image", &error).message))?;
    std::io::Write::flush(&mut out).map_err(Error::file("write", path))
}
