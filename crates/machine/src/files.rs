//! A machine's directory: what is in it, written whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use berth_kit::id;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Error, Result,
    definition::{DEFINITION_BYTES_MAX, is_name},
    machines::own_files,
    record::{Definition, Exit, Snapshot},
};

const DEFINITION: &str = "machine.toml";
const SNAPSHOT: &str = "snapshot.toml";
const DRAFT: &str = ".draft-";

/// A directory that is not in its place yet; removed with its value unless it was moved there.
#[derive(Debug)]
pub struct Draft {
    /// Where it is now.
    pub path: PathBuf,
}

impl Draft {
    /// A new directory below `parent`.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn below(parent: &Path) -> Result<Self> {
        make_directory(parent)?;
        let path = parent.join(format!("{DRAFT}{}", &id::generate()[..16]));
        make_directory(&path)?;
        Ok(Self { path })
    }

    /// Moves it to its place, where nothing may be, and onto disk.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::File`].
    pub fn settle(self, place: &Path, what: &'static str) -> Result<()> {
        sync(&self.path)?;
        match renameat_with(CWD, &self.path, CWD, place, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST | rustix::io::Errno::NOTEMPTY) => {
                let name = place.file_name().unwrap_or_default().to_string_lossy().into_owned();
                return Err(Error::Exists { what, name });
            }
            Err(errno) => return Err(Error::file("move to", place)(errno.into())),
        }
        // It is gone from here, so that the drop finds nothing.
        place.parent().map_or(Ok(()), sync)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What stays is swept at the daemon's next start.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Whether a name is that of something half made.
#[must_use]
pub fn is_draft(name: &str) -> bool {
    name.starts_with(DRAFT)
}

/// Makes a directory, and those above it, for root alone.
///
/// # Errors
/// [`Error::File`].
pub fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::file("make", path))
}

/// Removes a tree; none is no error.
///
/// # Errors
/// [`Error::File`].
pub fn remove_tree(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Removes a file; none is no error.
///
/// # Errors
/// [`Error::File`].
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("remove", path)(error)),
        _ => Ok(()),
    }
}

/// The names in a directory, sorted; none when there is no directory.
///
/// # Errors
/// [`Error::File`].
pub fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(Error::file("read", directory))?,
    };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// Onto disk with a directory or file.
///
/// # Errors
/// [`Error::File`].
pub fn sync(path: &Path) -> Result<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(Error::file("write", path))
}

/// Replaces a file by a new one.
///
/// # Errors
/// [`Error::File`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let draft = path.with_file_name(format!("{DRAFT}{}", &id::generate()[..16]));
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&draft);
    }
    written.map_err(Error::file("write", path))?;
    path.parent().map_or(Ok(()), sync)
}

/// Reads a small text file.
///
/// # Errors
/// [`Error::File`], [`Error::Invalid`] for one that is no text or too long.
pub fn read_text(path: &Path) -> Result<String> {
    let mut text = String::new();
    let file = File::open(path).map_err(Error::file("read", path))?;
    let limit = DEFINITION_BYTES_MAX as u64 + 1;
    file.take(limit).read_to_string(&mut text).map_err(Error::file("read", path))?;
    Ok(text)
}

/// A machine's definition.
///
/// # Errors
/// [`Error::File`], [`Error::Invalid`].
pub fn read_definition(home: &Path) -> Result<Definition> {
    Definition::parse(&read_text(&home.join(DEFINITION))?)
}

/// Writes a machine's definition.
///
/// # Errors
/// [`Error::File`].
pub fn write_definition(home: &Path, definition: &Definition) -> Result<()> {
    replace(&home.join(DEFINITION), definition.text()?.as_bytes())
}

/// What the snapshot in a directory is.
///
/// # Errors
/// [`Error::File`], [`Error::Invalid`].
pub fn read_snapshot(directory: &Path) -> Result<Snapshot> {
    let path = directory.join(SNAPSHOT);
    let snapshot: Snapshot = toml::from_str(&read_text(&path)?)
        .map_err(|error| Error::invalid(format!("{} is not understood: {error}", path.display())))?;
    snapshot.definition.check()?;
    Ok(snapshot)
}

/// Writes what the snapshot in a directory is.
///
/// # Errors
/// [`Error::File`].
pub fn write_snapshot(directory: &Path, snapshot: &Snapshot) -> Result<()> {
    let text = toml::to_string_pretty(snapshot)
        .map_err(|error| Error::invalid(format!("the snapshot cannot be written: {error}")))?;
    replace(&directory.join(SNAPSHOT), text.as_bytes())
}

/// Where a suspended machine's state is.
#[must_use]
pub fn saved(home: &Path) -> PathBuf {
    home.join("saved")
}

/// Where snapshots are.
#[must_use]
pub fn snapshots(home: &Path) -> PathBuf {
    home.join("snapshots")
}

/// Names of a machine's snapshots.
#[must_use]
pub fn snapshot_names(home: &Path) -> Vec<String> {
    names(&snapshots(home)).unwrap_or_default().into_iter().filter(|name| is_name(name)).collect()
}

/// How the last run ended.
#[must_use]
pub fn read_exit(home: &Path) -> Option<Exit> {
    read_json(&home.join("exit.json"))
}

/// A small JSON record; `None` when there is none, or none that is understood.
#[must_use]
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Writes a small JSON record.
///
/// # Errors
/// [`Error::File`].
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let bytes = serde_json::to_vec(value).map_err(|error| Error::file("write", path)(error.into()))?;
    replace(path, &bytes)
}

/// Removes what an earlier daemon left half made in a machine's directory.
///
/// # Errors
/// [`Error::File`].
pub fn sweep(home: &Path) -> Result<()> {
    for directory in [home.to_owned(), own_files(home), snapshots(home)] {
        for name in names(&directory)?.into_iter().filter(|name| is_draft(name)) {
            let path = directory.join(name);
            if path.is_dir() { remove_tree(&path)? } else { remove_file(&path)? }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_settles_once_or_leaves_nothing() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (root, place) = (dir.path().join("machines"), dir.path().join("machines/one"));
        drop(Draft::below(&root).expect("draft"));
        assert!(names(&root).expect("names").is_empty());
        let draft = Draft::below(&root).expect("draft");
        fs::write(draft.path.join("a"), "").expect("write");
        draft.settle(&place, "machine").expect("settle");
        let again = Draft::below(&root).expect("draft").settle(&place, "machine").expect_err("taken");
        assert_eq!(again.to_string(), "machine one exists already: remove it, or choose another name");
        assert_eq!(names(&root).expect("names"), ["one"]);
        fs::write(place.join(".draft-left"), "").expect("write");
        fs::create_dir_all(snapshots(&place).join(".draft-left/disks")).expect("mkdir");
        sweep(&place).expect("sweep");
        assert_eq!((names(&place).expect("names").len(), snapshot_names(&place).len()), (2, 0));
    }
}
