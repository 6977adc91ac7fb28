//! What the resolver knows, on disk: written by the daemon, read by the resolver. A file is whole or not there.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

/// A network with its members.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Its name: `web.backend` is the member `web` of the network `backend`.
    pub name: String,
    /// Nothing leaves it.
    pub internal: bool,
    /// Who is on it.
    pub members: Vec<Member>,
}

/// A container's place on a network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its names, the container's own first.
    pub names: Vec<String>,
    /// Its addresses.
    pub ipv4: Option<Ipv4Addr>,
    /// As above.
    pub ipv6: Option<Ipv6Addr>,
}

/// A container that asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its process 1, in the daemon's pid namespace.
    pub pid: i32,
    /// When that was born, in clock ticks since boot: numbers are given again.
    pub born: u64,
    /// Where the resolver listens in it.
    pub port: u16,
    /// It listens at every address of the network namespace, which nothing else is in: the jail of a virtual machine.
    #[serde(default)]
    pub everywhere: bool,
    /// The networks whose names it may know.
    pub networks: Vec<Membership>,
    /// Who is asked for other names, in their order.
    pub upstream: Vec<IpAddr>,
}

/// One of a container's networks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The network's id.
    pub id: String,
    /// Names that only this container knows: (member, name).
    pub links: Vec<(String, String)>,
}

/// The directory of the state.
#[derive(Debug, Clone)]
pub struct State {
    dir: PathBuf,
}

impl State {
    /// The state below `dir`, which need not exist.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes what is known of a network.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn put_network(&self, id: &str, network: &Network) -> Result<()> {
        self.put("networks", id, network)
    }

    /// Writes what is known of a container.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn put_container(&self, id: &str, container: &Container) -> Result<()> {
        self.put("containers", id, container)
    }

    /// Forgets a network; one that is not there is no error.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn remove_network(&self, id: &str) -> Result<()> {
        self.remove("networks", id)
    }

    /// Forgets a container; one that is not there is no error.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn remove_container(&self, id: &str) -> Result<()> {
        self.remove("containers", id)
    }

    /// What is known of a network.
    pub(crate) fn network(&self, id: &str) -> Result<Option<Network>> {
        self.get("networks", id)
    }

    /// What is known of a container.
    ///
    /// # Errors
    /// [`Error::File`], [`Error::Parse`].
    pub fn container(&self, id: &str) -> Result<Option<Container>> {
        self.get("containers", id)
    }

    /// Ids of all networks.
    pub(crate) fn networks(&self) -> Vec<String> {
        self.ids("networks")
    }

    /// Ids of all containers.
    pub fn containers(&self) -> Vec<String> {
        self.ids("containers")
    }

    fn path(&self, kind: &str, id: &str) -> PathBuf {
        self.dir.join(kind).join(format!("{id}.json"))
    }

    fn put<T: Serialize>(&self, kind: &str, id: &str, value: &T) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let path = self.path(kind, id);
        let folder = self.dir.join(kind);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(Error::file("make", &folder))?;
        let text = serde_json::to_vec(value).map_err(|source| Error::Parse { path: path.clone(), source })?;
        // Two may write the same at the same time; the later one stays.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let draft = path.with_extension(format!("{}.new", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::write(&draft, text).map_err(Error::file("write", &draft))?;
        fs::rename(&draft, &path).map_err(Error::file("write", &path))
    }

    fn get<T: DeserializeOwned>(&self, kind: &str, id: &str) -> Result<Option<T>> {
        let path = self.path(kind, id);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        serde_json::from_slice(&text).map(Some).map_err(|source| Error::Parse { path, source })
    }

    fn remove(&self, kind: &str, id: &str) -> Result<()> {
        let path = self.path(kind, id);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    fn ids(&self, kind: &str) -> Vec<String> {
        let entries = fs::read_dir(self.dir.join(kind)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
    }
}
