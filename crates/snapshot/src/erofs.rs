//! Layers as EROFS images: one read-only file each, mounted while it is needed.
//!
//! ```text
//! draft/fs/ ─► image (berth-erofs) ─► sealed with fs-verity, if asked for ─► layers/<hex>/image
//! layers/<hex>/image ──mounted from the file (Linux 6.12), else over a loop device──► layers/<hex>/fs ─► overlay
//! ```
//!
//! A layer cannot be changed by accident, is one file to check or to copy, and its pages are shared by all containers,
//! as it is mounted once. The mounts outlive a daemon that is killed, and the next one uses them.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use berth_sys::mount::{NewFilesystem, attach_at, attr, detach};
use berth_sys::{Errno, loopback, verity};

use crate::error::{Error, Result};
use crate::layer::{Layer, LayerDraft, Shelf};
use crate::overlay::mode_of;
use crate::{Rootfs, Snapshotter, limit, tree};

/// The snapshotter whose layers are images.
#[derive(Debug)]
pub struct Erofs {
    shelf: Shelf,
    verity: bool,
    /// Held while a layer is mounted: the paths that this store has mounted.
    mounted: Mutex<Vec<PathBuf>>,
}

impl Erofs {
    /// Opens or makes the store at `root`, and removes what a crash left half-done. With `verity` the images of new
    /// layers are sealed: the file system below checks every read of them (ext4, btrfs and f2fs can do that).
    pub fn open(root: &Path, verity: bool) -> Result<Self> {
        Ok(Self { shelf: Shelf::open(root)?, verity, mounted: Mutex::default() })
    }

    /// The layers from `top` down, each mounted.
    fn chain(&self, top: &str) -> Result<Vec<PathBuf>> {
        let paths = self.shelf.chain(top)?;
        self.mounted(&paths)?;
        Ok(paths)
    }

    /// Mounts the layers with these directories, unless they are.
    fn mounted(&self, paths: &[PathBuf]) -> Result<()> {
        let mut mounted = self.mounted.lock().unwrap_or_else(PoisonError::into_inner);
        for path in paths {
            if !mounted.contains(path) {
                if !limit::is_mount_point(path) {
                    self.mount(path)?;
                }
                mounted.push(path.clone());
            }
        }
        Ok(())
    }

    /// Unmounts the layer in `home`, if it is mounted.
    fn forget(&self, home: &Path) -> Result<()> {
        let path = home.join("fs");
        let mut mounted = self.mounted.lock().unwrap_or_else(PoisonError::into_inner);
        mounted.retain(|other| *other != path);
        if limit::is_mount_point(&path) {
            detach(&path).map_err(Error::io("unmount", &path))?;
        }
        Ok(())
    }

    /// Mounts the image beside the mount point `path`.
    fn mount(&self, path: &Path) -> Result<()> {
        let image = path.with_file_name("image");
        let chain_id = || {
            let hex = path.parent().and_then(Path::file_name).unwrap_or_default();
            format!("sha256:{}", hex.to_string_lossy())
        };
        let file = match File::open(&image) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::LayerDamaged { chain_id: chain_id(), path: image });
            }
            other => other.map_err(Error::io("open", &image))?,
        };
        if let Ok(expected) = fs::read_to_string(path.with_file_name("verity")) {
            let found = verity::measure(file.as_fd()).map_or_else(|errno| errno.to_string(), |digest| hex(&digest));
            if found != expected {
                return Err(Error::Unsealed { chain_id: chain_id(), found, expected });
            }
        }
        let mount = match mount_source(&image) {
            Err((Errno::NOTBLK | Errno::OPNOTSUPP | Errno::INVAL, _)) => {
                let device = match loopback::find(&image) {
                    Some(device) => device,
                    None => loopback::attach(file.as_fd(), true).map_err(Error::io("make a loop device of", &image))?,
                };
                mount_source(&device.path)
            }
            other => other,
        };
        let refused = |(errno, messages): (Errno, String)| Error::Mount {
            what: "erofs",
            path: image.clone(),
            messages,
            source: errno.into(),
        };
        let mount = mount.map_err(refused)?;
        attach_at(mount.as_fd(), path).map_err(Error::io("mount on", path))
    }
}

/// A detached mount of the image in `source`, a file or a block device.
fn mount_source(source: &Path) -> std::result::Result<std::os::fd::OwnedFd, (Errno, String)> {
    let new = NewFilesystem::open("erofs").map_err(|errno| (errno, String::new()))?;
    let made = new.text("source", source).and_then(|()| new.mount(attr::READ_ONLY | attr::NO_SUID | attr::NO_DEV));
    made.map_err(|errno| (errno, new.messages()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the draft's tree as an image, to the disk, and leaves an empty directory in its place.
fn write_image(draft: &LayerDraft, sealed: bool) -> Result<()> {
    let path = draft.home.join("image");
    let failed = |source| Error::Image { chain_id: draft.chain_id.clone(), source };
    let root = File::open(&draft.dir).map_err(Error::io("open", &draft.dir))?;
    let mut image = File::create_new(&path).map_err(Error::io("create", &path))?;
    berth_erofs::write(&mut image, root.as_fd()).map_err(failed)?;
    image.sync_data().map_err(Error::io("sync", &path))?;
    drop(image);
    if sealed {
        let image = File::open(&path).map_err(Error::io("open", &path))?;
        verity::enable(image.as_fd()).map_err(Error::io("seal (fs-verity)", &path))?;
        let digest = verity::measure(image.as_fd()).map_err(Error::io("measure (fs-verity)", &path))?;
        let record = draft.home.join("verity");
        fs::write(&record, hex(&digest)).map_err(Error::io("write", &record))?;
    }
    fs::remove_dir_all(&draft.dir).map_err(Error::io("remove", &draft.dir))?;
    crate::layer::make_root_dir(&draft.dir, 0o755)?;
    File::open(&draft.home).and_then(|home| home.sync_all()).map_err(Error::io("sync", &draft.home))
}

impl Snapshotter for Erofs {
    fn draft_layer(&self, chain_id: &str, parent: Option<&str>) -> Result<LayerDraft> {
        self.shelf.draft(chain_id, parent)
    }

    fn commit_layer(&self, draft: LayerDraft, bytes: u64) -> Result<()> {
        if let Some(parent) = &draft.parent {
            self.shelf.layer(parent)?;
        }
        write_image(&draft, self.verity)?;
        self.shelf.commit(draft, bytes)
    }

    fn layer_size(&self, chain_id: &str) -> Result<u64> {
        Ok(self.shelf.layer(chain_id)?.bytes)
    }

    fn remove_layer(&self, chain_id: &str) -> Result<()> {
        let home = self.shelf.free_layer(chain_id)?;
        self.forget(&home)?;
        self.shelf.discard(&home)
    }

    fn replace_layer(&self, draft: LayerDraft, bytes: u64) -> Result<()> {
        write_image(&draft, self.verity)?;
        self.forget(&self.shelf.layer_home(&draft.chain_id)?)?;
        self.shelf.replace(draft, bytes)
    }

    fn layer_dir(&self, chain_id: &str) -> Result<PathBuf> {
        self.shelf.layer(chain_id)?;
        self.mounted(&[self.shelf.layer_home(chain_id)?.join("fs")])?;
        self.shelf.layer_dir(chain_id)
    }

    fn spoiled_layers(&self) -> Result<Vec<String>> {
        self.shelf.spoiled_layers()
    }

    fn remove_spoiled(&self, chain_id: &str) -> Result<()> {
        self.forget(&self.shelf.layer_home(chain_id)?)?;
        self.shelf.remove_spoiled(chain_id)
    }

    fn layers(&self) -> Result<Vec<Layer>> {
        self.shelf.layers()
    }

    fn create(&self, key: &str, top: Option<&str>) -> Result<()> {
        let mode = match top {
            Some(top) => mode_of(&self.chain(top)?[0])?,
            None => 0o755,
        };
        self.shelf.create_written(key, top, mode)
    }

    fn limit(&self, key: &str, bytes: u64) -> Result<()> {
        limit::apply(&self.shelf.snapshot(key)?, bytes)
    }

    fn rootfs(&self, key: &str) -> Result<Rootfs> {
        let lower = match self.shelf.top(key)? {
            Some(top) => self.chain(&top)?,
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

    fn close(&self) {
        // Roots that are mounted have clones of their own. What cannot be unmounted is used again by the next store.
        for path in self.mounted.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = detach(&path);
        }
    }
}

impl Drop for Erofs {
    fn drop(&mut self) {
        self.close();
    }
}
