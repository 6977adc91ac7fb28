//! Plain directories named after volumes: made, measured and removed so that a crash leaves nothing unclear.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use crate::{Error, Result, driver::data_path};

const REMOVING: &str = ".removing-";

/// A directory of directories.
#[derive(Debug)]
pub(crate) struct Directory {
    pub root: PathBuf,
}

impl Directory {
    /// Makes `<root>/<name>/_data`, 0755 below a directory that only root may enter.
    pub fn create(&self, name: &str) -> Result<()> {
        let data = data_path(&self.root, name);
        if data.is_dir() {
            return Ok(());
        }
        let volume = self.root.join(name);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o701)
            .create(&volume)
            .map_err(Error::file("make volume directory", &volume))?;
        match fs::DirBuilder::new().mode(0o755).create(&data) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                Err(Error::file("make volume directory", &data)(error))
            }
            _ => Ok(()),
        }
    }

    /// Takes the directory out of sight in one step, then deletes it.
    pub fn remove(&self, name: &str) -> Result<()> {
        let volume = self.root.join(name);
        let doomed = self.root.join(format!("{REMOVING}{name}"));
        delete(&doomed)?;
        match fs::rename(&volume, &doomed) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            outcome => outcome.map_err(Error::file("remove volume directory", &volume))?,
        }
        delete(&doomed)
    }

    /// Gives the directory another name; one that has it already is no error.
    pub fn rename(&self, name: &str, new: &str) -> Result<()> {
        let (from, to) = (self.root.join(name), self.root.join(new));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            outcome => outcome.map_err(Error::file("rename volume directory", &from)),
        }
    }

    pub fn sweep(&self) -> Result<()> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            outcome => outcome.map_err(Error::file("read volume directory", &self.root))?,
        };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(REMOVING) {
                delete(&entry.path())?;
            }
        }
        Ok(())
    }

    pub fn usage_bytes(&self, name: &str) -> Result<u64> {
        let data = data_path(&self.root, name);
        measure(&data).map_err(Error::file("measure volume directory", &data))
    }
}

fn delete(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(Error::file("remove volume directory", path)),
    }
}

/// Bytes of all files below `root`, symbolic links not followed, a file with several names counted once.
fn measure(root: &Path) -> std::io::Result<u64> {
    let mut seen = std::collections::HashSet::new();
    let mut open = vec![root.to_owned()];
    let mut bytes = 0;
    while let Some(dir) = open.pop() {
        let entries = match fs::read_dir(&dir) {
            // Containers write while we look: what has gone counts nothing.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            outcome => outcome?,
        };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                open.push(entry.path());
            } else if meta.nlink() == 1 || seen.insert((meta.dev(), meta.ino())) {
                bytes += meta.len();
            }
        }
    }
    Ok(bytes)
}
