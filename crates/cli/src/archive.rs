//! Tar streams of `cp`: packing local files, and unpacking what a container sent without trusting it.

use bytes::Bytes;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// Writes `local` as a tar stream whose top is named `entry`.
///
/// # Errors
/// What the kernel says.
pub fn pack(local: &Path, entry: &Path, follow: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut builder = tar::Builder::new(out);
    builder.follow_symlinks(false);
    let resolved = if follow { std::fs::canonicalize(local)? } else { local.to_owned() };
    let metadata = std::fs::symlink_metadata(&resolved)?;
    let through = resolved.as_os_str().as_encoded_bytes().ends_with(b"/");
    if metadata.is_dir() || through && std::fs::metadata(&resolved)?.is_dir() {
        builder.append_dir_all(entry, &resolved)?;
    } else {
        builder.append_path_with_name(&resolved, entry)?;
    }
    builder.finish()
}

/// Unpacks a stream so that its top becomes `place`. No entry leaves `place`: neither by `..`, nor through a link that an
/// earlier entry made.
///
/// # Errors
/// What the kernel says, or `InvalidData` for an entry that would leave.
pub fn unpack(reader: impl Read, place: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(reader);
    let mut directories = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let target = inside(place, &entry.path()?)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            match std::fs::symlink_metadata(&target) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => {
                    return Err(io::Error::other(format!("cannot overwrite {} with a directory", target.display())));
                }
                Err(_) => std::fs::create_dir(&target)?,
            }
            directories.push((target, entry.header().mode()?));
            continue;
        }
        if std::fs::symlink_metadata(&target).is_ok_and(|found| found.is_dir()) {
            return Err(io::Error::other(format!("cannot overwrite directory {}", target.display())));
        }
        if kind.is_hard_link() {
            let link = entry.link_name()?.ok_or(io::ErrorKind::InvalidData)?;
            let existing = inside(place, &link)?;
            let _ = std::fs::remove_file(&target);
            std::fs::hard_link(existing, &target)?;
        } else if kind.is_file() || kind.is_symlink() || kind.is_contiguous() || kind.is_gnu_sparse() {
            let _ = std::fs::remove_file(&target);
            entry.unpack(&target)?;
        } else {
            crate::complain!("WARNING: {} is a device, pipe or socket and is not copied", target.display());
        }
    }
    // Modes of directories come last: one that is read-only takes its files first.
    for (directory, mode) in directories.into_iter().rev() {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode & 0o7777);
        std::fs::set_permissions(directory, mode)?;
    }
    Ok(())
}

/// `path` of the archive below `place`, its first name replaced by it; every directory on the way is one.
fn inside(place: &Path, path: &Path) -> io::Result<PathBuf> {
    let refuse = || io::Error::new(io::ErrorKind::InvalidData, format!("unsafe path in archive: {}", path.display()));
    let mut names = Vec::new();
    let mut top = true;
    for part in path.components() {
        match part {
            Component::CurDir if top => top = false,
            Component::Normal(_) if top => top = false,
            Component::Normal(name) => names.push(name),
            Component::CurDir | Component::RootDir => {}
            _ => return Err(refuse()),
        }
    }
    let mut target = place.to_owned();
    for (at, name) in names.iter().enumerate() {
        if at > 0 || target != place {
            let found = std::fs::symlink_metadata(&target)?;
            if !found.is_dir() {
                return Err(refuse());
            }
        }
        target.push(name);
    }
    Ok(target)
}

/// Chunks of an async stream as a reader.
pub struct Chunks {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Chunks {
    /// Reads what comes through `receiver`.
    #[must_use]
    pub fn new(receiver: mpsc::Receiver<Bytes>) -> Self {
        Self { receiver, current: Bytes::new() }
    }
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let n = buffer.len().min(self.current.len());
        buffer[..n].copy_from_slice(&self.current.split_to(n));
        Ok(n)
    }
}

/// A writer that counts.
pub struct Count<'a> {
    out: &'a mut dyn Write,
    bytes: &'a AtomicUsize,
}

impl<'a> Count<'a> {
    /// Counts what goes to `out` in `bytes`.
    pub fn new(out: &'a mut dyn Write, bytes: &'a AtomicUsize) -> Self {
        Self { out, bytes }
    }
}

impl Write for Count<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let n = self.out.write(buffer)?;
        self.bytes.fetch_add(n, Ordering::Relaxed);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("src");
        std::fs::create_dir_all(source.join("sub")).unwrap();
        std::fs::write(source.join("sub/f"), "x").unwrap();
        std::os::unix::fs::symlink("/nowhere", source.join("l")).unwrap();
        let mut bytes = Vec::new();
        pack(&source, Path::new("top"), false, &mut bytes).unwrap();
        let place = directory.path().join("out");
        unpack(bytes.as_slice(), &place).unwrap();
        assert_eq!(std::fs::read(place.join("sub/f")).unwrap(), b"x");
        assert_eq!(std::fs::read_link(place.join("l")).unwrap(), Path::new("/nowhere"));
    }

    #[test]
    fn a_link_leads_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_size(0);
        builder.append_data(&mut header.clone(), "top", io::empty()).unwrap();
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        builder.append_link(&mut link, "top/l", directory.path().join("outside")).unwrap();
        let mut file = tar::Header::new_gnu();
        file.set_size(1);
        file.set_mode(0o644);
        builder.append_data(&mut file, "top/l/f", &b"x"[..]).unwrap();
        std::fs::create_dir(directory.path().join("outside")).unwrap();
        let bytes = builder.into_inner().unwrap();
        assert!(unpack(bytes.as_slice(), &directory.path().join("place")).is_err());
        assert!(!directory.path().join("outside/f").exists());
    }
}
