//! The seam between the noun and what keeps the bytes.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::Result;

/// A shared driver.
pub type Driver = Arc<dyn VolumeDriver>;

/// A volume as a driver sees it.
#[derive(Debug, Clone, Copy)]
pub struct Location<'a> {
    /// The volume's name: a plain file name, already checked.
    pub name: &'a str,
    /// The options it was created with, already checked by [`VolumeDriver::check`].
    pub options: &'a BTreeMap<String, String>,
}

/// Keeps the bytes of volumes.
///
/// # Vocabulary
///
/// A *volume* is a name with options. Its *mountpoint* is a directory on the host that never changes while the volume
/// exists. A volume is *mounted* while a container may look into the
/// mountpoint and see the volume's bytes.
///
/// # Life
///
/// ```text
/// check ─► create ─► (mount ─► unmount)* ─► rename* ─► remove
///              ▲______________│ a crash may leave a volume mounted: mount again is no error
/// ```
///
/// The noun calls one method at a time for one volume; several volumes at once. Nothing is asked of a driver about
/// names it does not know: the noun's records say which volumes exist. All methods may block; the noun calls them
/// from blocking threads.
///
/// # Example
///
/// ```no_run
/// # use berth_volume::{Local, Location, VolumeDriver};
/// # let dir = std::env::temp_dir().join(format!("berth-volume-doc-{}", std::process::id()));
/// let driver = Local::new(dir.clone());
/// let options = Default::default();
/// let data = Location { name: "data", options: &options };
/// driver.create(data)?;
/// let path = driver.mount(data)?;
/// std::fs::write(path.join("x"), "1").unwrap();
/// driver.unmount(data)?;
/// driver.remove(data)?;
/// assert!(!path.exists());
/// # std::fs::remove_dir_all(dir).unwrap();
/// # Ok::<(), berth_volume::Error>(())
/// ```
///
/// Every implementation runs [`crate::contract::run`].
pub trait VolumeDriver: Send + Sync {
    /// The name users write after `--driver`.
    fn name(&self) -> &str;

    /// Refuses options this driver does not have, before anything is made.
    ///
    /// # Errors
    /// [`crate::Error::InvalidOption`] naming the option.
    fn check(&self, volume: Location<'_>) -> Result<()>;

    /// Makes the volume; one that is already there is no error.
    ///
    /// # Errors
    /// When a directory cannot be made.
    fn create(&self, volume: Location<'_>) -> Result<()>;

    /// The host directory that containers get; needs no mount. Empty where the driver does not know yet.
    fn mountpoint(&self, name: &str) -> PathBuf;

    /// Makes the bytes visible at the mountpoint, which is returned; already visible is no error.
    ///
    /// # Errors
    /// When the file system cannot be mounted.
    fn mount(&self, volume: Location<'_>) -> Result<PathBuf>;

    /// Ends what [`VolumeDriver::mount`] began; not mounted is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn unmount(&self, volume: Location<'_>) -> Result<()>;

    /// Removes the bytes; a volume that is not there is no error.
    ///
    /// # Errors
    /// When they cannot be removed.
    fn remove(&self, volume: Location<'_>) -> Result<()>;

    /// Gives the bytes of a volume that is not mounted another name; when `new` has them already, that is no error.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`], or why they cannot be moved.
    fn rename(&self, volume: Location<'_>, new: &str) -> Result<()>;

    /// Finishes removals that a crash cut short.
    ///
    /// # Errors
    /// When the driver's directory cannot be read.
    fn sweep(&self) -> Result<()>;

    /// Bytes in use, or `None` where measuring makes no sense (a network file system).
    ///
    /// # Errors
    /// When the volume cannot be read.
    fn usage_bytes(&self, volume: Location<'_>) -> Result<Option<u64>>;
}

/// `<root>/<name>/_data`.
pub(crate) fn data_path(root: &Path, name: &str) -> PathBuf {
    root.join(name).join("_data")
}
