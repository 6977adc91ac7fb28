//! Driver `local`: a directory, or a file system mounted on one while a container uses it.
//!
//! Options are Docker's: `type`, `device` and `o` as mount(8) takes them. Without `device` the volume is the directory.

mod directory;
mod mount;

use std::path::PathBuf;

use crate::{Error, Location, Result, VolumeDriver, driver::data_path};
pub(crate) use directory::Directory;

/// The driver `local`.
#[derive(Debug)]
pub struct Local {
    directory: Directory,
}

impl Local {
    /// Over `root`, `<data root>/volumes`.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { directory: Directory { root } }
    }
}

impl VolumeDriver for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn check(&self, volume: Location<'_>) -> Result<()> {
        mount::Request::read(volume).map(drop)
    }

    fn create(&self, volume: Location<'_>) -> Result<()> {
        self.directory.create(volume.name)
    }

    fn mountpoint(&self, name: &str) -> PathBuf {
        data_path(&self.directory.root, name)
    }

    fn mount(&self, volume: Location<'_>) -> Result<PathBuf> {
        self.directory.create(volume.name)?;
        let path = self.mountpoint(volume.name);
        if let Some(request) = mount::Request::read(volume)?
            && !mount::is_mounted(&path)
        {
            request.mount(&path)?;
        }
        Ok(path)
    }

    fn unmount(&self, volume: Location<'_>) -> Result<()> {
        let path = self.mountpoint(volume.name);
        if mount::Request::read(volume)?.is_some() && mount::is_mounted(&path) {
            berth_sys::mount::detach(&path).map_err(|errno| Error::file("unmount", &path)(errno.into()))?;
        }
        Ok(())
    }

    fn remove(&self, volume: Location<'_>) -> Result<()> {
        self.unmount(volume)?;
        self.directory.remove(volume.name)
    }

    fn sweep(&self) -> Result<()> {
        self.directory.sweep()
    }

    fn usage_bytes(&self, volume: Location<'_>) -> Result<Option<u64>> {
        if mount::Request::read(volume)?.is_some() {
            return Ok(None);
        }
        self.directory.usage_bytes(volume.name).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn keeps_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        crate::contract::run(&Local::new(dir.path().to_owned()));
    }

    #[test]
    fn a_cut_removal_is_finished() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join(".removing-x/_data/deep")).unwrap();
        Local::new(dir.path().to_owned()).sweep().unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn hostile_options_are_refused() {
        let local = Local::new("/nowhere".into());
        for pairs in [
            &[("type", "tmpfs")][..],
            &[("device", "/x")],
            &[("type", "none"), ("device", "relative"), ("o", "bind")],
            &[("type", "nfs"), ("device", ":/x"), ("o", "addr=no-address")],
            &[("type", "../x"), ("device", "x")],
            &[("o", "bind")],
        ] {
            let options = options(pairs);
            assert!(local.check(Location { name: "v", options: &options }).is_err(), "{pairs:?}");
        }
    }

    #[test]
    fn a_tmpfs_is_mounted_while_used() {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::new(dir.path().to_owned());
        let options = options(&[("type", "tmpfs"), ("device", "tmpfs"), ("o", "size=1m,nosuid")]);
        let volume = Location { name: "vol", options: &options };
        local.check(volume).unwrap();
        local.create(volume).unwrap();
        match local.mount(volume) {
            Err(Error::Mount { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                println!("skipped: may not mount here");
            }
            outcome => {
                let path = outcome.unwrap();
                std::fs::write(path.join("x"), "x").unwrap();
                local.mount(volume).unwrap();
                local.unmount(volume).unwrap();
                assert!(!path.join("x").exists());
            }
        }
        local.remove(volume).unwrap();
    }
}
