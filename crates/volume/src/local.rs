//! Driver `local`: a directory, or a file system mounted on one while a container uses it.
//!
//! Options are Docker's: `type`, `device` and `o` as mount(8) takes them. Without `device` the volume is the directory,
//! and `size`, `uid`, `gid` and `mode` say what it is like. One with a size lies in a file system of its own, in a file:
//! project quotas would need no file, but only file systems that were mounted for them have any.

mod directory;
mod mount;
mod options;

use std::{
    fs,
    os::{
        fd::AsFd,
        unix::fs::{PermissionsExt, chown},
    },
    path::{Path, PathBuf},
};

use rustix::fs::Mode;

use crate::{Error, Location, Result, VolumeDriver, driver::data_path};
pub(crate) use directory::Directory;
use options::Look;
pub(crate) use options::own_options;

/// The volume's directory inside the file system of one with a size: beside its lost+found.
const INSIDE: &str = "data";

/// The driver `local`.
#[derive(Debug)]
pub struct Local {
    directory: Directory,
}

/// What a volume's options ask for.
enum Form {
    Directory(Look),
    Mounted(mount::Request),
}

impl Local {
    /// Over `root`, `<data root>/volumes`.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { directory: Directory { root } }
    }

    fn disk(&self, name: &str) -> PathBuf {
        self.directory.root.join(name).join("disk")
    }

    /// Makes the file system of a volume with a size, and the directory in it.
    fn make_disk(&self, name: &str, look: Look, bytes: u64) -> Result<()> {
        let disk = self.disk(name);
        if !disk.exists() {
            berth_snapshot::disk::make(&disk, bytes)?;
        }
        let mounted = berth_snapshot::disk::mount(&disk)?;
        match rustix::fs::mkdirat(&mounted, INSIDE, Mode::from_raw_mode(0o755)) {
            Err(rustix::io::Errno::EXIST) => return Ok(()),
            outcome => outcome.map_err(|errno| Error::file("make volume directory in", &disk)(errno.into()))?,
        }
        let failed = |errno: rustix::io::Errno| Error::file("give its owner to", &disk)(errno.into());
        let (uid, gid) = (look.uid.map(rustix::fs::Uid::from_raw), look.gid.map(rustix::fs::Gid::from_raw));
        rustix::fs::chownat(&mounted, INSIDE, uid, gid, rustix::fs::AtFlags::empty()).map_err(failed)?;
        let mode = Mode::from_raw_mode(look.mode.unwrap_or(0o755));
        rustix::fs::chmodat(&mounted, INSIDE, mode, rustix::fs::AtFlags::empty()).map_err(failed)
    }

    fn mount_disk(&self, name: &str, path: &Path) -> Result<()> {
        let mounted = berth_snapshot::disk::mount(&self.disk(name))?;
        berth_sys::mount::clone_inside(mounted.as_fd(), path, INSIDE)
            .and_then(|inside| berth_sys::mount::attach_at(inside.as_fd(), path))
            .map_err(|errno| Error::file("mount its file system on", path)(errno.into()))
    }
}

impl VolumeDriver for Local {
    fn name(&self) -> &str {
        "local"
    }

    fn check(&self, volume: Location<'_>) -> Result<()> {
        form(volume).map(drop)
    }

    fn create(&self, volume: Location<'_>) -> Result<()> {
        let path = self.mountpoint(volume.name);
        let was_there = path.is_dir();
        self.directory.create(volume.name)?;
        match form(volume)? {
            Form::Directory(look) => match look.size_bytes {
                Some(bytes) => self.make_disk(volume.name, look, bytes),
                None if was_there => Ok(()),
                None => stamp_as(look, &path),
            },
            Form::Mounted(_) => Ok(()),
        }
    }

    fn mountpoint(&self, name: &str) -> PathBuf {
        data_path(&self.directory.root, name)
    }

    fn mount(&self, volume: Location<'_>) -> Result<PathBuf> {
        let path = self.mountpoint(volume.name);
        if volume.options.is_empty() {
            self.directory.create(volume.name)?;
            return Ok(path);
        }
        if mount::is_mounted(&path) {
            return Ok(path);
        }
        self.create(volume)?;
        match form(volume)? {
            Form::Mounted(request) => request.mount(&path)?,
            Form::Directory(look) if look.size_bytes.is_some() => self.mount_disk(volume.name, &path)?,
            Form::Directory(_) => {}
        }
        Ok(path)
    }

    fn unmount(&self, volume: Location<'_>) -> Result<()> {
        let path = self.mountpoint(volume.name);
        if !volume.options.is_empty() && mount::is_mounted(&path) {
            berth_sys::mount::detach(&path).map_err(|errno| Error::file("unmount", &path)(errno.into()))?;
        }
        Ok(())
    }

    fn remove(&self, volume: Location<'_>) -> Result<()> {
        self.unmount(volume)?;
        self.directory.remove(volume.name)
    }

    fn rename(&self, volume: Location<'_>, new: &str) -> Result<()> {
        self.unmount(volume)?;
        self.directory.rename(volume.name, new)
    }

    fn sweep(&self) -> Result<()> {
        self.directory.sweep()
    }

    fn usage_bytes(&self, volume: Location<'_>) -> Result<Option<u64>> {
        match form(volume)? {
            Form::Mounted(_) => Ok(None),
            Form::Directory(look) if look.size_bytes.is_some() && !mount::is_mounted(&self.mountpoint(volume.name)) => {
                let disk = self.disk(volume.name);
                let found = fs::metadata(&disk).map_err(Error::file("measure", &disk))?;
                Ok(Some(std::os::unix::fs::MetadataExt::blocks(&found) * 512))
            }
            Form::Directory(_) => self.directory.usage_bytes(volume.name).map(Some),
        }
    }
}

fn form(volume: Location<'_>) -> Result<Form> {
    match mount::Request::read(volume)? {
        Some(request) => Ok(Form::Mounted(request)),
        None => Look::read(volume).map(Form::Directory),
    }
}

/// Gives the root of a volume, at `path`, the owner and mode that its options state.
pub(crate) fn stamp(volume: Location<'_>, path: &Path) -> Result<()> {
    match form(volume)? {
        Form::Directory(look) => stamp_as(look, path),
        Form::Mounted(_) => Ok(()),
    }
}

fn stamp_as(look: Look, path: &Path) -> Result<()> {
    if !look.owns() {
        return Ok(());
    }
    chown(path, look.uid, look.gid).map_err(Error::file("give its owner to", path))?;
    let Some(mode) = look.mode else { return Ok(()) };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::file("give its mode to", path))
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
            &[("type", "nfs"), ("device", ":/x"), ("o", "addr=no address")],
            &[("type", "../x"), ("device", "x")],
            &[("o", "bind")],
        ] {
            let options = options(pairs);
            assert!(local.check(Location { name: "v", options: &options }).is_err(), "{pairs:?}");
        }
    }

    #[test]
    fn owner_and_mode_are_as_asked() {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::new(dir.path().to_owned());
        let options = options(&[("uid", "12345"), ("o", "gid=54321,mode=2750")]);
        let volume = Location { name: "vol", options: &options };
        local.create(volume).unwrap();
        let found = fs::metadata(local.mount(volume).unwrap()).unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (12345, 54321, 0o2750));
        fs::set_permissions(local.mountpoint("vol"), fs::Permissions::from_mode(0o700)).unwrap();
        local.mount(volume).unwrap();
        let kept = fs::metadata(local.mountpoint("vol")).unwrap().mode() & 0o7777;
        assert_eq!(kept, 0o700, "what a container changed stays");
    }

    #[test]
    fn a_size_is_a_limit() {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::new(dir.path().to_owned());
        let options = options(&[("size", "2m"), ("mode", "1777")]);
        let volume = Location { name: "vol", options: &options };
        local.check(volume).unwrap();
        if let Err(error) = local.create(volume) {
            // No loop devices, or no right to use them.
            return println!("skipped: {error}");
        }
        let path = local.mount(volume).unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0, "a new volume is empty");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o1777);
        fs::write(path.join("kept"), "1234").unwrap();
        let error = fs::write(path.join("large"), vec![7; 4 << 20]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
        local.unmount(volume).unwrap();
        assert!(!path.join("kept").exists());
        local.rename(volume, "other").unwrap();
        let other = Location { name: "other", ..volume };
        assert_eq!(fs::read(local.mount(other).unwrap().join("kept")).unwrap(), b"1234");
        local.remove(other).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
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
