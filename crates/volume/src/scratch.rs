//! Driver `scratch`: a directory below the runtime root, gone with the next reboot. The trivial implementation.

use std::path::PathBuf;

use crate::{Error, Location, Result, VolumeDriver, driver::data_path, local::Directory};

/// The driver `scratch`.
#[derive(Debug)]
pub struct Scratch {
    directory: Directory,
}

impl Scratch {
    /// Over `root`, `<runtime root>/scratch`.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { directory: Directory { root } }
    }
}

impl VolumeDriver for Scratch {
    fn name(&self) -> &str {
        "scratch"
    }

    fn check(&self, volume: Location<'_>) -> Result<()> {
        match volume.options.keys().next() {
            Some(key) => Err(Error::InvalidOption {
                name: volume.name.to_owned(),
                reason: format!("invalid option: \"{key}\" (driver scratch has no options)"),
            }),
            None => Ok(()),
        }
    }

    fn create(&self, volume: Location<'_>) -> Result<()> {
        self.directory.create(volume.name)
    }

    fn mountpoint(&self, name: &str) -> PathBuf {
        data_path(&self.directory.root, name)
    }

    fn mount(&self, volume: Location<'_>) -> Result<PathBuf> {
        self.directory.create(volume.name)?;
        Ok(self.mountpoint(volume.name))
    }

    fn unmount(&self, _: Location<'_>) -> Result<()> {
        Ok(())
    }

    fn remove(&self, volume: Location<'_>) -> Result<()> {
        self.directory.remove(volume.name)
    }

    fn rename(&self, volume: Location<'_>, new: &str) -> Result<()> {
        self.directory.rename(volume.name, new)
    }

    fn sweep(&self) -> Result<()> {
        self.directory.sweep()
    }

    fn usage_bytes(&self, volume: Location<'_>) -> Result<Option<u64>> {
        self.directory.usage_bytes(volume.name).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        crate::contract::run(&Scratch::new(dir.path().to_owned()));
    }
}
