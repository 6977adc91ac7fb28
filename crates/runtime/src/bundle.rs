//! A container on disk: the OCI `config.json`, and beside it `berth.json` with what that format cannot say.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use berth_snapshot::Rootfs;
use oci_spec::runtime::{Spec, State};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

/// Ids of the host that belong to one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The host's id for the container's root.
    pub host_base: u32,
    /// How many ids, from 0 on.
    pub len: u32,
}

/// What `config.json` has no place for. Every field may be absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Extension {
    /// Layers to mount as the root file system; without them `root.path` of the specification is used as it is.
    pub rootfs: Option<Rootfs>,
    /// Ids of the container's user namespace, when the specification asks for a new one without maps of its own.
    pub id_range: Option<IdRange>,
    /// Run an init as process 1 that starts the program, forwards signals and reaps orphans.
    pub init: bool,
    /// The cgroup is a scope that systemd makes; its path is that of the unit (`/system.slice/name.scope`).
    pub systemd: bool,
    /// Supplementary groups by name or number, looked up in the container's own group file.
    pub groups: Vec<String>,
    /// Layers to mount where the specification binds this path, which need not exist.
    pub layered: Vec<(PathBuf, Layered)>,
    /// Parts of bind mounts' sources to mount in their place, by destination: relative paths that are resolved at the last
    /// moment and below the source, whatever another container does in there meanwhile.
    pub subpaths: BTreeMap<PathBuf, PathBuf>,
    /// What the supervisor wants to remember; the runtime does not look inside.
    pub supervisor: serde_json::Value,
}

/// Layers that are mounted like a directory of the host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Layered {
    /// The layers.
    pub rootfs: Rootfs,
    /// What of them is shown, a relative path; all when empty.
    #[serde(default)]
    pub subpath: String,
}

/// A container as the runtime takes it.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The directory of both files.
    pub dir: PathBuf,
    /// The OCI runtime specification of this container.
    pub spec: Spec,
    /// berth's own part.
    pub extension: Extension,
}

impl Bundle {
    /// Reads both files; `berth.json` may be absent.
    pub fn load(dir: &Path) -> Result<Self> {
        let spec = read(&dir.join("config.json"))?;
        let path = dir.join("berth.json");
        let extension = if path.exists() { read(&path)? } else { Extension::default() };
        Ok(Self { dir: dir.to_owned(), spec, extension })
    }

    /// Writes both files, readable by the engine only (an environment may hold secrets).
    pub fn store(&self) -> Result<()> {
        write(&self.dir.join("config.json"), &self.spec)?;
        write(&self.dir.join("berth.json"), &self.extension)
    }

    /// What hooks are told of its container, which has the bundle's name.
    #[must_use]
    pub fn state(&self) -> State {
        let mut state = State::default();
        let id = self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        state.set_version(self.spec.version().clone()).set_id(id).set_bundle(self.dir.clone());
        state.set_annotations(self.spec.annotations().clone());
        state
    }

    /// The root file system: the extension's layers, or the specification's directory.
    pub(crate) fn rootfs(&self) -> Result<Rootfs> {
        if let Some(rootfs) = &self.extension.rootfs {
            return Ok(rootfs.clone());
        }
        let path = self.spec.root().as_ref().map(|root| self.dir.join(root.path())).ok_or_else(|| {
            Error::InvalidSpec { field: "root", reason: String::from("neither root.path nor layers are given") }
        })?;
        // PATH: the root directory is named by the caller of the runtime, who is the host's root.
        let path = path.canonicalize().map_err(|source| Error::ReadBundle { path, source })?;
        Ok(Rootfs { lower: Vec::new(), work: path.clone(), upper: path, read_only: false, volatile: false })
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).map_err(|source| Error::ReadBundle { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|source| Error::ParseBundle { path: path.to_owned(), source })
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_vec(value).map_err(|source| Error::ParseBundle { path: path.to_owned(), source })?;
    let mut options = fs::OpenOptions::new();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    opened
        .and_then(|mut file| file.write_all(&text))
        .map_err(|source| Error::WriteBundle { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_loaded() {
        let dir = tempfile::tempdir().expect("tempdir");
        let extension = Extension {
            id_range: Some(IdRange { host_base: 100_000, len: 65_536 }),
            groups: vec![String::from("audio")],
            ..Extension::default()
        };
        let bundle = Bundle { dir: dir.path().to_owned(), spec: Spec::default(), extension };
        bundle.store().expect("store");
        let loaded = Bundle::load(dir.path()).expect("load");
        assert_eq!((loaded.extension, loaded.spec), (bundle.extension, bundle.spec));
    }

    #[test]
    fn a_damaged_file_is_named() {
        let dir = tempfile::tempdir().expect("tempdir");
        fs::write(dir.path().join("config.json"), "{").expect("write");
        let error = Bundle::load(dir.path()).expect_err("damaged");
        assert!(error.to_string().ends_with("config.json"), "{error}");
    }
}
