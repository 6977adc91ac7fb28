//! Blobs under way: sessions that survive the server.
//!
//! ```text
//! <root>/uploads/<id>/data    the bytes so far
//! <root>/uploads/<id>/about   repository and algorithm, JSON
//!
//! begin ─► append* ─► finish ─► the store        cancel, or too old ─► gone
//! ```
//!
//! What arrived stays: a chunk whose connection breaks in the middle counts as far as it came, and after a restart the
//! length of the file is where to go on. The digest is computed while bytes arrive, and from the file after a restart.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};

use crate::{
    Error, Result,
    digest::{Algorithm, Digest, Hasher},
    step::step,
    store::files::{hash_rest, make_dir},
};

/// Gathered before a thread is woken to write.
const GATHER_BYTES: usize = 512 * 1024;
/// Written where they are, without a thread.
const INLINE_BYTES: usize = 64 * 1024;

/// All uploads under way.
#[derive(Debug)]
pub struct Uploads {
    dir: PathBuf,
    open: Mutex<HashMap<String, Arc<Upload>>>,
    open_max: usize,
}

/// One upload.
#[derive(Debug)]
pub struct Upload {
    /// Its identifier, a UUID.
    pub id: String,
    /// Repository that it belongs to.
    pub repository: String,
    dir: PathBuf,
    sink: Arc<Mutex<Sink>>,
    /// One request at a time.
    pub turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Sink {
    file: File,
    size: u64,
    hasher: Option<Hasher>,
}

#[derive(Debug, Serialize, Deserialize)]
struct About {
    repository: String,
    algorithm: String,
}

/// Why bytes were not taken.
#[derive(Debug)]
pub enum Refused {
    /// More than a blob may have.
    TooLarge,
    /// The client went away, or sent nonsense.
    Broken(String),
    /// More or fewer bytes than announced.
    Length,
    /// The disk.
    Own(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Own(error)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Uploads {
    /// Opens or creates the directory of uploads under `root`.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn open(root: &Path, open_max: usize) -> Result<Self> {
        let dir = root.join("uploads");
        make_dir(&dir)?;
        Ok(Self { dir, open: Mutex::default(), open_max })
    }

    /// Begins an upload; `None` when there are as many as there may be.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn begin(&self, repository: &str, algorithm: Algorithm) -> Result<Option<Arc<Upload>>> {
        if lock(&self.open).len() >= self.open_max {
            return Ok(None);
        }
        let id = uuid();
        let dir = self.dir.join(&id);
        make_dir(&dir)?;
        step("upload directory made");
        let about = About { repository: repository.to_owned(), algorithm: algorithm.as_str().to_owned() };
        let path = dir.join("about");
        let text = serde_json::to_vec(&about).unwrap_or_default();
        fs::write(&path, text).map_err(Error::file("write", path))?;
        step("upload described");
        let path = dir.join("data");
        let file = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(Error::file("create", path))?;
        let sink = Sink { file, size: 0, hasher: Some(Hasher::new(algorithm)) };
        Ok(Some(self.keep(Upload::new(id, repository.to_owned(), dir, sink))))
    }

    fn keep(&self, upload: Upload) -> Arc<Upload> {
        let upload = Arc::new(upload);
        Arc::clone(lock(&self.open).entry(upload.id.clone()).or_insert(upload))
    }

    /// The upload `id` of a repository, also one from before a restart.
    #[must_use]
    pub fn find(&self, repository: &str, id: &str) -> Option<Arc<Upload>> {
        let known = lock(&self.open).get(id).cloned();
        let upload = known.or_else(|| self.revive(id).map(|upload| self.keep(upload)))?;
        (upload.repository == repository).then_some(upload)
    }

    fn revive(&self, id: &str) -> Option<Upload> {
        let dir = self.dir.join(id);
        let about: About = serde_json::from_slice(&fs::read(dir.join("about")).ok()?).ok()?;
        let file = OpenOptions::new().read(true).append(true).open(dir.join("data")).ok()?;
        let size = file.metadata().ok()?.len();
        // What came before must be read again, when the digest is wanted.
        let hasher = Algorithm::parse(&about.algorithm).map(Hasher::new).filter(|_| size == 0);
        Some(Upload::new(id.to_owned(), about.repository, dir, Sink { file, size, hasher }))
    }

    /// Ends an upload: nothing of it is left.
    pub fn remove(&self, upload: &Upload) {
        lock(&self.open).remove(&upload.id);
        // Swept later when this fails.
        let _ = fs::remove_dir_all(&upload.dir);
    }

    /// Removes uploads that nothing was added to for `age`; gives how many.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn sweep(&self, age: Duration) -> Result<usize> {
        let mut count = 0;
        let entries = fs::read_dir(&self.dir).map_err(Error::file("read", &self.dir))?;
        for entry in entries.flatten() {
            let dir = entry.path();
            let changed = [dir.join("data"), dir.clone()]
                .iter()
                .filter_map(|path| fs::metadata(path).ok()?.modified().ok())
                .max();
            if changed.is_none_or(|time| time.elapsed().unwrap_or_default() < age) {
                continue;
            }
            let id = entry.file_name().to_string_lossy().into_owned();
            let mut open = lock(&self.open);
            if open.get(&id).is_some_and(|upload| upload.turn.try_lock().is_err()) {
                continue;
            }
            open.remove(&id);
            drop(open);
            fs::remove_dir_all(&dir).map_err(Error::file("remove", dir))?;
            count += 1;
        }
        Ok(count)
    }

    /// How many are under way in this process.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.open).len()
    }
}

impl Upload {
    fn new(id: String, repository: String, dir: PathBuf, sink: Sink) -> Self {
        Self { id, repository, dir, sink: Arc::new(Mutex::new(sink)), turn: tokio::sync::Mutex::default() }
    }

    /// The file with the bytes so far.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Bytes so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        lock(&self.sink).size
    }

    /// Takes a body, up to a blob of `size_max` bytes in all; `length` is what the client announced.
    ///
    /// # Errors
    /// [`Refused`]; what came before stays.
    pub async fn append(
        &self,
        mut body: Incoming,
        length: Option<u64>,
        size_max: u64,
    ) -> std::result::Result<u64, Refused> {
        let before = self.size();
        let (mut gathered, mut waiting, mut total) = (Vec::new(), 0, 0_u64);
        loop {
            let frame = match body.frame().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    self.write(std::mem::take(&mut gathered), waiting).await?;
                    return Err(Refused::Broken(error.to_string()));
                }
                None => break,
            };
            let Ok(piece) = frame.into_data() else { continue };
            total += piece.len() as u64;
            if before + total > size_max {
                return Err(Refused::TooLarge);
            }
            waiting += piece.len();
            gathered.push(piece);
            if waiting >= GATHER_BYTES {
                self.write(std::mem::take(&mut gathered), waiting).await?;
                waiting = 0;
            }
        }
        self.write(gathered, waiting).await?;
        if length.is_some_and(|length| length != total) {
            return Err(Refused::Length);
        }
        Ok(total)
    }

    /// Takes bytes that are in memory already.
    ///
    /// # Errors
    /// [`Error::File`].
    pub async fn push(&self, bytes: Bytes) -> Result<()> {
        let length = bytes.len();
        self.write(vec![bytes], length).await
    }

    /// Never stops between file and hasher, even when the client goes away in the middle.
    async fn write(&self, pieces: Vec<Bytes>, length: usize) -> Result<()> {
        let (sink, path) = (Arc::clone(&self.sink), self.path());
        let work = move || lock(&sink).write(&pieces).map_err(Error::file("write", path));
        if length <= INLINE_BYTES { work() } else { crate::blocking(work).await }
    }

    /// The digest of what is there.
    ///
    /// # Errors
    /// [`Error::File`].
    pub async fn digest(&self, algorithm: Algorithm) -> Result<Digest> {
        let (sink, path) = (Arc::clone(&self.sink), self.path());
        let known = lock(&sink).hasher.clone().filter(|hasher| hasher.algorithm() == algorithm);
        if let Some(hasher) = known {
            return Ok(hasher.finish());
        }
        crate::blocking(move || {
            let mut file = File::open(&path).map_err(Error::file("open", &path))?;
            let mut hasher = Hasher::new(algorithm);
            hash_rest(&mut file, &mut hasher).map_err(Error::file("read", &path))?;
            Ok(hasher.finish())
        })
        .await
    }
}

impl Sink {
    fn write(&mut self, pieces: &[Bytes]) -> std::io::Result<()> {
        for piece in pieces {
            let outcome = self.file.write_all(piece);
            if let Err(error) = outcome {
                // A full disk may have taken a part.
                self.hasher = None;
                self.size = self.file.metadata()?.len();
                return Err(error);
            }
            self.size += piece.len() as u64;
            if let Some(hasher) = &mut self.hasher {
                hasher.update(piece);
            }
            step("chunk written");
        }
        Ok(())
    }
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> String {
    let hex = berth_kit::id::generate();
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}
