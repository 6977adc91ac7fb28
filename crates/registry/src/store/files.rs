//! Blobs as files.
//!
//! ```text
//! <root>/blobs/<algorithm>/<first two digits>/<digits>   a whole blob; appears by rename after it was synced
//! <root>/quarantine/<algorithm>-<digits>                 what a scrub found broken
//! ```

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    Error, Result,
    digest::{Algorithm, Digest, Hasher},
    step::step,
};

const READ_BYTES: usize = 256 * 1024;

/// A handle to the files; clones share it.
#[derive(Debug, Clone)]
pub struct Files {
    root: Arc<Path>,
}

impl Files {
    /// Opens or creates the store under `root`.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn open(root: &Path) -> Result<Self> {
        let files = Self { root: root.into() };
        for dir in Algorithm::ALL.map(|algorithm| files.dir(algorithm)).into_iter().chain([files.aside()]) {
            make_dir(&dir)?;
        }
        Ok(files)
    }

    fn dir(&self, algorithm: Algorithm) -> PathBuf {
        self.root.join("blobs").join(algorithm.as_str())
    }

    fn aside(&self) -> PathBuf {
        self.root.join("quarantine")
    }

    /// Where a blob lies or would lie.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.dir(digest.algorithm()).join(&digest.hex()[..2]).join(digest.hex())
    }

    /// Opens a blob; `None` when it is not there.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn open_blob(&self, digest: &Digest) -> Result<Option<File>> {
        let path = self.path(digest);
        match File::open(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File { act: "open", path, source }),
        }
    }

    /// Makes the file at `path` a blob: sync, rename, sync of the directory, in this order.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn take(&self, path: &Path, digest: &Digest) -> Result<()> {
        let target = self.path(digest);
        let shard = target.parent().unwrap_or(&self.root);
        let file = File::open(path).map_err(Error::file("open", path))?;
        file.sync_data().map_err(Error::file("sync", path))?;
        step("blob synced");
        if !shard.exists() {
            make_dir(shard)?;
            sync_dir(shard.parent().unwrap_or(shard))?;
        }
        step("shard made");
        fs::rename(path, &target).map_err(Error::file("rename to", &target))?;
        step("blob renamed");
        sync_dir(shard)?;
        step("shard synced");
        Ok(())
    }

    /// Removes a blob; an absent one is no error.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn remove(&self, digest: &Digest) -> Result<()> {
        let path = self.path(digest);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::File { act: "remove", path, source }),
            _ => Ok(()),
        }
    }

    /// Moves a broken blob aside.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn quarantine(&self, digest: &Digest) -> Result<()> {
        let target = self.aside().join(digest.as_str().replace(':', "-"));
        match fs::rename(self.path(digest), &target) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(Error::File { act: "rename to", path: target, source })
            }
            _ => Ok(()),
        }
    }

    /// Computes the digest of a stored blob.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn hash(&self, digest: &Digest) -> Result<Option<Digest>> {
        let Some(mut file) = self.open_blob(digest)? else { return Ok(None) };
        let mut hasher = Hasher::new(digest.algorithm());
        hash_rest(&mut file, &mut hasher).map_err(Error::file("read", self.path(digest)))?;
        Ok(Some(hasher.finish()))
    }

    /// Digests of all blobs that were last changed more than `age_seconds` ago.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn list(&self, age_seconds: u64) -> Result<Vec<Digest>> {
        let mut found = Vec::new();
        for algorithm in Algorithm::ALL {
            let dir = self.dir(algorithm);
            for shard in entries(&dir)? {
                for entry in entries(&shard.path())? {
                    let is_old = entry
                        .metadata()
                        .and_then(|metadata| metadata.modified())
                        .is_ok_and(|time| time.elapsed().unwrap_or_default() >= Duration::from_secs(age_seconds));
                    let name = entry.file_name();
                    let text = format!("{}:{}", algorithm.as_str(), name.to_string_lossy());
                    found.extend(Digest::parse(&text).ok().filter(|_| is_old));
                }
            }
        }
        Ok(found)
    }
}

fn entries(dir: &Path) -> Result<Vec<fs::DirEntry>> {
    let read = || fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>();
    read().map_err(Error::file("read", dir))
}

/// Feeds what is left of a file into a hasher; gives how many bytes.
///
/// # Errors
/// The kernel's.
pub fn hash_rest(file: &mut File, hasher: &mut Hasher) -> io::Result<u64> {
    let mut buffer = vec![0; READ_BYTES];
    let mut total = 0;
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(length) => {
                hasher.update(&buffer[..length]);
                total += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes a directory and those above it, for this user only.
///
/// # Errors
/// [`Error::File`].
pub fn make_dir(dir: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(Error::file("create", dir))
}

/// Makes renames in a directory durable.
///
/// # Errors
/// [`Error::File`].
pub fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(Error::file("sync", dir))
}
