//! Folders of clients: archives unpacked for one build, or folders kept here of which only changes are sent.
//!
//! ```text
//! client: list of paths, modes, times ─► Sync: what is missing or differs ─► tar of that alone ─► Folder
//! ```

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io::Read,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

use crate::{Error, Folder, Result, checksum, place, tree};

/// Entries of one folder.
const ENTRIES_MAX: usize = 2_000_000;
/// Folders that were announced and not yet built with.
const PENDING_MAX: usize = 64;
/// How long a client may do nothing with a folder that another one waits for: then it is gone, and so is its claim.
const IDLE: Duration = if cfg!(test) { Duration::from_millis(300) } else { Duration::from_secs(15) };
/// How often who waits looks for that.
const LOOK: Duration = Duration::from_millis(200);

/// A path of a client's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextEntry {
    /// `/` between its parts, none in front.
    pub path: String,
    /// As of `stat(2)`, with the type.
    pub mode: u32,
    /// Bytes of a file.
    #[serde(default)]
    pub size: u64,
    /// Nanoseconds since 1970.
    #[serde(default)]
    pub mtime_ns: i64,
    /// Target of a link.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub link: String,
}

/// What is to be sent for a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    /// Names the folder until a build takes it.
    pub id: String,
    /// Numbers of the entries whose contents are wanted.
    pub wanted: Vec<usize>,
}

/// All folders.
#[derive(Clone)]
pub struct ContextStore {
    root: PathBuf,
    work: PathBuf,
    locks: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>,
    pending: Arc<Mutex<BTreeMap<String, Held>>>,
}

/// A folder that nobody else changes meanwhile.
#[derive(Clone)]
pub struct Held {
    path: PathBuf,
    guard: Arc<OwnedMutexGuard<()>>,
    /// Contents that did not come yet.
    missing: bool,
    /// When its client last did something.
    since: Instant,
}

/// A folder that goes when it is dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "cannot remove a folder of a build");
        }
    }
}

impl ContextStore {
    /// Below these two folders; the second one is emptied.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn open(root: &Path, work: &Path) -> Result<Self> {
        if work.exists() {
            std::fs::remove_dir_all(work).map_err(Error::file("empty", work))?;
        }
        for path in [root, work] {
            std::fs::create_dir_all(path).map_err(Error::file("create", path))?;
            let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(path, private).map_err(Error::file("chmod", path))?;
        }
        Ok(Self { root: root.to_owned(), work: work.to_owned(), locks: Arc::default(), pending: Arc::default() })
    }

    /// A fresh folder that goes with its guard.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be made.
    pub fn temporary(&self) -> Result<Folder> {
        let path = self.work.join(berth_kit::id::short(&berth_kit::id::generate()));
        std::fs::create_dir(&path).map_err(Error::file("create", &path))?;
        Ok(Folder { path: path.clone(), guard: Arc::new(Temporary(path)) })
    }

    /// Unpacks an archive, compressed or not. Blocks.
    ///
    /// # Errors
    /// [`Error::Archive`] for what is none, [`Error::File`].
    pub fn unpack(&self, archive: impl Read + Send) -> Result<Folder> {
        let folder = self.temporary()?;
        unpack_into(&folder.path, archive)?;
        Ok(folder)
    }

    /// Makes the kept folder `key` look like `entries` as far as it can; says what is to be sent. Waits while a build
    /// uses the folder.
    ///
    /// # Errors
    /// [`Error::Invalid`] for paths that are none, [`Error::File`].
    pub async fn begin(&self, key: &str, entries: Vec<ContextEntry>) -> Result<Sync> {
        if entries.len() > ENTRIES_MAX {
            return Err(Error::Invalid(format!("a context has more than {ENTRIES_MAX} entries")));
        }
        let name = checksum::hex(&checksum::of_bytes(key.as_bytes()));
        let turn = Arc::clone(self.lock_locks().entry(name.clone()).or_default());
        let path = self.root.join(name);
        let turn = turn.lock_owned();
        tokio::pin!(turn);
        let guard = loop {
            match tokio::time::timeout(LOOK, &mut turn).await {
                Ok(guard) => break guard,
                Err(_) => self.drop_idle(&path),
            }
        };
        let place = path.clone();
        let wanted = blocking(move || reconcile(&place, &entries)).await?;
        let id = berth_kit::id::generate();
        let held = Held { path, guard: Arc::new(guard), missing: !wanted.is_empty(), since: Instant::now() };
        let mut pending = self.lock_pending();
        if pending.len() >= PENDING_MAX {
            pending.clear();
        }
        pending.insert(id.clone(), held);
        Ok(Sync { id, wanted })
    }

    /// Puts in what was wanted. Blocks.
    ///
    /// # Errors
    /// [`Error::Missing`] for a folder that was not announced, [`Error::Archive`].
    pub fn receive(&self, id: &str, archive: impl Read + Send) -> Result<()> {
        let held = self.lock_pending().get(id).cloned().ok_or_else(|| unknown(id))?;
        let received = unpack_into(&held.path, archive);
        let mut pending = self.lock_pending();
        if received.is_err() {
            // A client that was refused does not come back for it.
            pending.remove(id);
        } else if let Some(held) = pending.get_mut(id) {
            (held.missing, held.since) = (false, Instant::now());
        }
        received
    }

    /// Lets go of a folder whose client is gone: it announced the folder, and neither sends nor builds.
    fn drop_idle(&self, path: &Path) {
        self.lock_pending().retain(|_, held| {
            let is_used = Arc::strong_count(&held.guard) > 1;
            held.path != path || is_used || held.since.elapsed() < IDLE
        });
    }

    /// The folder, for one build.
    ///
    /// # Errors
    /// [`Error::Missing`] for a folder that was not announced, or whose contents did not come.
    pub fn take(&self, id: &str) -> Result<Folder> {
        let held = self.lock_pending().remove(id).ok_or_else(|| unknown(id))?;
        if held.missing {
            return Err(Error::Missing(format!("the files of context {id} did not come")));
        }
        Ok(Folder { path: held.path, guard: held.guard })
    }

    fn lock_locks(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<tokio::sync::Mutex<()>>>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_pending(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Held>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unpack_into(path: &Path, archive: impl Read + Send) -> Result<()> {
    let root = std::fs::File::open(path).map_err(Error::file("open", path))?;
    let options = berth_archive::unpack::ExtractOptions { owner: Some((0, 0)), ..Default::default() };
    let reader = berth_archive::compression::decoder(archive)?;
    berth_archive::unpack::extract(reader, root.as_fd(), Path::new("/"), &options)?;
    Ok(())
}

fn unknown(id: &str) -> Error {
    Error::Missing(format!("no context {id} was announced"))
}

/// Runs `act` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(act: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(act).await {
        Ok(outcome) => outcome,
        Err(panic) if panic.is_panic() => std::panic::resume_unwind(panic.into_panic()),
        Err(_) => Err(Error::Cancelled),
    }
}

fn reconcile(path: &Path, entries: &[ContextEntry]) -> Result<Vec<usize>> {
    std::fs::create_dir_all(path).map_err(Error::file("create", path))?;
    let root = std::fs::File::open(path).map_err(Error::file("open", path))?;
    let root = root.as_fd();
    let known: HashSet<&str> = entries.iter().map(|entry| entry.path.as_str()).collect();
    remove_strangers(root, "", &known)?;
    let mut wanted = Vec::new();
    for (number, entry) in entries.iter().enumerate() {
        if entry.path.is_empty() || tree::clean(&entry.path) != format!("/{}", entry.path) {
            return Err(Error::Invalid(format!("{:?} is no path of a context", entry.path)));
        }
        if !is_here(root, entry)? {
            wanted.push(number);
        }
    }
    Ok(wanted)
}

/// Whether the entry is here as it should be; folders and links are made at once.
fn is_here(root: BorrowedFd<'_>, entry: &ContextEntry) -> Result<bool> {
    let (parent, name) = entry.path.rsplit_once('/').unwrap_or(("", &entry.path));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let above = tree::open_plain(root, parent, flags).map_err(Error::call("open", parent))?;
    let kind = FileType::from_raw_mode(entry.mode);
    let stat = rustix::fs::statat(&above, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    let mode = entry.mode & 0o7777;
    if stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode) != kind) {
        clear(above.as_fd(), name, &entry.path)?;
    }
    let stat = rustix::fs::statat(&above, name, AtFlags::SYMLINK_NOFOLLOW).ok();
    match kind {
        FileType::Directory => {
            if stat.is_none() {
                rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o700))
                    .map_err(Error::call("create", &entry.path))?;
            }
            place::set_owner_and_mode(above.as_fd(), name, (0, 0), mode, &entry.path)?;
            Ok(true)
        }
        FileType::Symlink => {
            let here = rustix::fs::readlinkat(&above, name, Vec::new()).ok();
            if here.is_none_or(|here| here.to_bytes() != entry.link.as_bytes()) {
                let _ = rustix::fs::unlinkat(&above, name, AtFlags::empty());
                rustix::fs::symlinkat(entry.link.as_str(), &above, name).map_err(Error::call("link", &entry.path))?;
            }
            Ok(true)
        }
        _ => Ok(stat.is_some_and(|stat| {
            let mtime_ns = stat.st_mtime.saturating_mul(1_000_000_000) + stat.st_mtime_nsec as i64;
            stat.st_size as u64 == entry.size && stat.st_mode & 0o7777 == mode && mtime_ns == entry.mtime_ns
        })),
    }
}

fn remove_strangers(directory: BorrowedFd<'_>, way: &str, known: &HashSet<&str>) -> Result<()> {
    for name in tree::names(directory).map_err(Error::call("read", way))? {
        let text = String::from_utf8_lossy(&name).into_owned();
        let path = if way.is_empty() { text.clone() } else { format!("{way}/{text}") };
        if !known.contains(path.as_str()) {
            clear_raw(directory, &name, &path)?;
            continue;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(below) = rustix::fs::openat(directory, &name[..], flags, Mode::empty()) {
            remove_strangers(below.as_fd(), &path, known)?;
        }
    }
    Ok(())
}

fn clear(directory: BorrowedFd<'_>, name: &str, path: &str) -> Result<()> {
    clear_raw(directory, name.as_bytes(), path)
}

fn clear_raw(directory: BorrowedFd<'_>, name: &[u8], path: &str) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Ok(below) = rustix::fs::openat(directory, name, flags, Mode::empty()) {
        for inside in tree::names(below.as_fd()).map_err(Error::call("read", path))? {
            clear_raw(below.as_fd(), &inside, path)?;
        }
        return rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).map_err(Error::call("remove", path));
    }
    rustix::fs::unlinkat(directory, name, AtFlags::empty()).map_err(Error::call("remove", path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    fn entry(path: &str, mode: u32) -> ContextEntry {
        ContextEntry { path: path.into(), mode, size: 0, mtime_ns: 0, link: String::new() }
    }

    #[test]
    fn only_what_changed_is_wanted() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("ctx");
        let list =
            |mtime_ns| vec![entry("d", 0o040_755), ContextEntry { size: 3, mtime_ns, ..entry("d/a", 0o100_644) }];
        assert_eq!(reconcile(&root, &list(0)).expect("made"), [1]);
        std::fs::write(root.join("d/a"), "abc").expect("write");
        let meta = std::fs::metadata(root.join("d/a")).expect("there");
        let now = meta.mtime() * 1_000_000_000 + meta.mtime_nsec();
        assert!(reconcile(&root, &list(now)).expect("same").is_empty());
        assert_eq!(reconcile(&root, &list(now + 1)).expect("newer"), [1]);
        assert!(reconcile(&root, &[]).expect("emptied").is_empty());
        assert_eq!(std::fs::read_dir(&root).expect("read").count(), 0);
    }

    #[tokio::test]
    async fn a_folder_is_free_again_when_its_client_is_gone() {
        let place = tempfile::tempdir().expect("a folder");
        let store = ContextStore::open(&place.path().join("ctx"), &place.path().join("work")).expect("a store");
        let list = || vec![ContextEntry { size: 3, ..entry("a", 0o100_644) }];
        // One that announces and dies, one whose contents are no archive.
        let left = store.begin("key", list()).await.expect("announced");
        let refused = store.begin("key", list()).await.expect("the first one is given up");
        assert!(store.take(&left.id).is_err(), "its client is gone");
        assert!(store.receive(&refused.id, &b"this is no archive of anything"[..]).is_err());
        let begun = Instant::now();
        let last = store.begin("key", Vec::new()).await.expect("announced");
        assert!(begun.elapsed() < IDLE, "what was refused holds nothing");
        // One that builds is waited for.
        let folder = store.take(&last.id).expect("nothing was missing");
        let next = tokio::time::timeout(IDLE * 3, store.begin("key", Vec::new())).await;
        assert!(next.is_err(), "a build has it");
        drop(folder);
        store.begin("key", Vec::new()).await.expect("it is free");
    }

    #[test]
    fn a_list_never_leads_out() {
        let outside = tempfile::tempdir().expect("a folder");
        std::fs::write(outside.path().join("canary"), "alive").expect("write");
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("ctx");
        std::fs::create_dir(&root).expect("create");
        symlink(outside.path(), root.join("esc")).expect("link");
        let link = ContextEntry { link: outside.path().display().to_string(), ..entry("esc", 0o120_777) };
        assert!(reconcile(&root, &[link, entry("esc/canary", 0o040_755)]).is_err());
        for bad in ["../x", "/abs", "a//b", "", "a/../b"] {
            assert!(reconcile(&root, &[entry(bad, 0o100_644)]).is_err(), "{bad}");
        }
        assert_eq!(std::fs::read_to_string(outside.path().join("canary")).expect("read"), "alive");
    }
}
