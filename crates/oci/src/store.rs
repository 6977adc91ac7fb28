//! Containers on disk: `<root>/<id>/` with `state.json` ([`Record`]), `config.json` (the specification as it was when
//! the container was made) and, until it is started, `start` (its latch). Only the engine's user may enter.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};
use crate::record::Record;

/// All containers of one `--root`.
pub struct Store {
    root: PathBuf,
}

/// One container's directory.
#[derive(Debug, Clone)]
pub struct Place {
    dir: PathBuf,
}

impl Store {
    /// A store need not exist yet.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Takes a name for a new container.
    pub fn reserve(&self, id: &str) -> Result<Place> {
        check(id)?;
        DirBuilder::new().recursive(true).mode(0o700).create(&self.root).map_err(Error::file("make", &self.root))?;
        let dir = self.root.join(id);
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => Ok(Place { dir }),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(Error::Exists { id: id.to_owned() }),
            Err(error) => Err(Error::file("make", &dir)(error)),
        }
    }

    /// Finds a container.
    pub fn find(&self, id: &str) -> Result<(Place, Record)> {
        check(id)?;
        let place = Place { dir: self.root.join(id) };
        match place.read("state.json") {
            Err(Error::File { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::NotFound { id: id.to_owned() })
            }
            other => other.map(|record| (place, record)),
        }
    }

    /// What is left of a container whose maker died on the way: a name without a record.
    pub fn find_unfinished(&self, id: &str) -> Result<Option<Place>> {
        check(id)?;
        let dir = self.root.join(id);
        Ok(dir.is_dir().then_some(Place { dir }))
    }

    /// All that are finished, ordered by id.
    pub fn all(&self) -> Result<Vec<(Place, Record)>> {
        let entries = match fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::file("read", &self.root)(error)),
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut all: Vec<_> = names.filter_map(|id| self.find(&id).ok()).collect();
        all.sort_by(|(_, one), (_, other)| one.id.cmp(&other.id));
        Ok(all)
    }
}

impl Place {
    /// Where the latch is, while there is one.
    pub fn latch(&self) -> PathBuf {
        self.dir.join("start")
    }

    /// Writes the record; it is whole or not there.
    pub fn save(&self, record: &Record) -> Result<()> {
        self.write("state.json", record)
    }

    /// Keeps the specification, which the caller may change or remove from now on.
    pub fn keep(&self, spec: &Spec) -> Result<()> {
        self.write("config.json", spec)
    }

    /// The specification that the container was made with.
    pub fn spec(&self) -> Result<Spec> {
        self.read("config.json")
    }

    /// Forgets the container.
    pub fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", &self.dir)(error)),
            _ => Ok(()),
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.dir.join(name);
        let text = fs::read(&path).map_err(Error::file("read", &path))?;
        serde_json::from_slice(&text).map_err(|source| Error::Parse { path, source })
    }

    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let path = self.dir.join(name);
        let text = serde_json::to_vec(value).map_err(|source| Error::Parse { path: path.clone(), source })?;
        let draft = self.dir.join(format!("{name}.new"));
        fs::write(&draft, text).map_err(Error::file("write", &draft))?;
        fs::rename(&draft, &path).map_err(Error::file("write", &path))
    }
}

/// Ids are names of directories, and nothing else.
fn check(id: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_+-.".contains(&byte);
    if id.is_empty() || id.len() > 1024 || id == "." || id == ".." || !id.bytes().all(plain) {
        return Err(Error::InvalidId { id: id.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_names() {
        for good in ["a", "web.1", "x_y+z-0"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "../x", "a b", "ä", "a\0b"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_taken_once() {
        let dir = tempfile::tempdir().expect("tempdir");
        let store = Store::new(&dir.path().join("root"));
        let place = store.reserve("box").expect("first");
        assert!(matches!(store.reserve("box"), Err(Error::Exists { .. })));
        assert!(matches!(store.find("box"), Err(Error::NotFound { .. })), "a name alone is no container");
        place.remove().expect("remove");
        store.reserve("box").expect("again");
    }
}
