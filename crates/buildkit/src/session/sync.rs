//! Folders of clients on this side: kept between builds, so that a change re-sends only what changed.
//!
//! ```text
//! ROOT/kept-HASH/     one for each shared key and name; in use by one build at a time
//! ROOT/fresh-ID/      when there is no key, or the kept one is in use; gone with the build
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use super::Session;
use super::receive::{Received, receive};
use crate::grpc::{Metadata, Status};

const SYNC: &str = "/moby.filesync.v1.FileSync/DiffCopy";
/// Folders kept between builds; the one used longest ago goes first.
const KEPT: usize = 16;

/// What is wanted of a client's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The client's name of it: `context`, `dockerfile`, or that of a named context.
    pub name: String,
    /// Tells apart folders of one name that are kept for different ends; empty for the files of the build.
    pub purpose: &'static str,
    /// Only these, as patterns; all when empty.
    pub include: Vec<String>,
    /// Not these, as patterns of an ignore file.
    pub exclude: Vec<String>,
    /// Only these paths and what they link to; all when empty.
    pub follow: Vec<String>,
}

/// The folders on disk.
#[derive(Debug, Clone)]
pub struct Contexts {
    root: PathBuf,
    busy: Arc<Mutex<BTreeSet<PathBuf>>>,
}

/// A client's folder on this side, for as long as this lives.
#[derive(Debug)]
pub struct Synced {
    path: PathBuf,
    /// What had to be sent.
    pub received: Received,
    kept: bool,
    busy: Arc<Mutex<BTreeSet<PathBuf>>>,
}

impl Contexts {
    /// Keeps folders below `root`, and removes what an earlier life left half done.
    ///
    /// # Errors
    /// When `root` cannot be made or read.
    pub fn open(root: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(root)?;
        std::fs::set_permissions(root, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        for entry in std::fs::read_dir(root)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("fresh-") {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Self { root: root.to_owned(), busy: Arc::default() })
    }

    /// Brings a folder of the session's client here. The same folder sends only what changed since.
    ///
    /// # Errors
    /// [`Status`] when the client refuses or the disk does.
    pub async fn sync(&self, session: &Session, wanted: &Wanted) -> Result<Synced, Status> {
        session.needs(SYNC)?;
        let mut metadata: Metadata = Vec::new();
        push(&mut metadata, "dir-name", std::slice::from_ref(&wanted.name));
        push(&mut metadata, "include-patterns", &wanted.include);
        push(&mut metadata, "exclude-patterns", &wanted.exclude);
        push(&mut metadata, "followpaths", &wanted.follow);
        let mut synced = self.take(session.shared_key(), wanted).map_err(Status::gone)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(synced.path(), flags, Mode::empty()).map_err(Status::gone)?;
        let call = session.channel.duplex(SYNC, &metadata).await?;
        tokio::select! {
            received = receive(call, root) => synced.received = received?,
            () = session.ended() => return Err(Status::gone("the client is gone")),
        }
        Ok(synced)
    }

    fn take(&self, shared_key: &str, wanted: &Wanted) -> std::io::Result<Synced> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hash = Sha256::new();
        hash.update((shared_key.len() as u64).to_le_bytes());
        hash.update(shared_key);
        hash.update(&wanted.name);
        hash.update([0]);
        hash.update(wanted.purpose);
        let kept = self.root.join(format!("kept-{}", berth_kit::id::hex(&hash.finalize()[..16])));
        let (path, is_kept) = match shared_key.is_empty() || busy.contains(&kept) {
            true => (self.root.join(format!("fresh-{}", berth_kit::id::generate())), false),
            false => (kept, true),
        };
        std::fs::create_dir_all(&path)?;
        // Its own time says when it was used last.
        let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
        let now = rustix::fs::Timestamps { last_access: now, last_modification: now };
        rustix::fs::utimensat(rustix::fs::CWD, &path, &now, rustix::fs::AtFlags::empty())?;
        busy.insert(path.clone());
        self.forget_oldest(&busy)?;
        Ok(Synced { path, received: Received::default(), kept: is_kept, busy: Arc::clone(&self.busy) })
    }

    fn forget_oldest(&self, busy: &BTreeSet<PathBuf>) -> std::io::Result<()> {
        let mut kept = Vec::new();
        for entry in std::fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with("kept-") {
                kept.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        kept.sort();
        let surplus = kept.len().saturating_sub(KEPT);
        for (_, path) in kept.iter().take(surplus).filter(|(_, path)| !busy.contains(path)) {
            std::fs::remove_dir_all(path)?;
        }
        Ok(())
    }
}

impl Synced {
    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Synced {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a build's files were not removed");
        }
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.path);
    }
}

/// Options are headers; values that no header takes are escaped, and a header more says so.
fn push(metadata: &mut Metadata, name: &str, values: &[String]) {
    let plain = |value: &String| value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let encoded = !values.iter().all(plain);
    for value in values {
        let value = if encoded { escape(value) } else { value.clone() };
        metadata.push((name.to_owned(), value));
    }
    if encoded {
        metadata.push((format!("{name}-encoded"), "1".to_owned()));
    }
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
