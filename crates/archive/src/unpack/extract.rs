//! An archive is added to a tree that exists (Engine API, `PUT /containers/{id}/archive`).

use std::{
    io::Read,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use berth_sys::process::FilesystemIds;
use rustix::{
    fs::{AtFlags, FileType},
    io::Errno,
};

use super::{Limits, Meter, Unpacked, parents, parents::Parents, place};
use crate::{
    Error, IdShift, Result, path,
    tar::{Entry, Kind, Reader},
};

/// How an archive is added.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExtractOptions {
    /// Refuse to replace a directory by something else, and the other way round.
    pub no_overwrite_dir_non_dir: bool,
    /// The owner of all entries, in ids of the tree's own root; `None` keeps the archive's.
    pub owner: Option<(u32, u32)>,
    /// From the archive's ids to those on disk.
    pub shift: IdShift,
    /// Where it stops.
    pub limits: Limits,
}

/// Unpacks an uncompressed archive into the directory `dest` below `root`. Links in the tree, also in `dest`, are
/// followed with `root` as `/`, so that nothing a process in the tree does meanwhile leads out of it.
///
/// # Errors
/// As [`super::unpack_layer`]; [`Error::Overwrite`] under `no_overwrite_dir_non_dir`.
pub fn extract(reader: impl Read, root: BorrowedFd<'_>, dest: &Path, options: &ExtractOptions) -> Result<Unpacked> {
    use std::os::unix::ffi::OsStrExt;
    let dest_bytes = dest.as_os_str().as_bytes();
    let relative = dest_bytes.iter().position(|byte| *byte != b'/').map_or(&b"."[..], |start| &dest_bytes[start..]);
    let dest = parents::open_in_root(root, relative).map_err(|errno| Error::entry("open", dest_bytes, errno))?;
    let mut reader = Reader::new(reader);
    let mut meter = Meter::new(options.limits);
    let owner = options.shift.to_disk(options.owner.unwrap_or((0, 0)));
    // In a tree of shifted ids the kernel makes nothing for an id that the tree's mounts cannot map, such as the host's
    // root: for the time of the extraction this thread is the tree's root.
    let _ids = (options.shift != IdShift::default()).then(|| tree_root_ids(options.shift)).transpose()?;
    let mut tree = Tree { parents: Parents::below(root, relative, dest.as_fd(), owner), options, times: Vec::new() };
    while let Some(mut entry) = reader.next_entry()? {
        let path = path::clean(&entry.path)?;
        meter.admit(&entry, &path)?;
        if let Some((uid, gid)) = options.owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        tree.add(&entry, &path, &mut reader)?;
    }
    tree.restore_times();
    reader.drain()?;
    Ok(meter.done)
}

fn tree_root_ids(shift: IdShift) -> Result<FilesystemIds> {
    let (uid, gid) = shift.to_disk((0, 0));
    FilesystemIds::take(uid, gid).map_err(|errno| Error::entry("take the ids of the root of", b"/", errno))
}

struct Tree<'r, 'o> {
    parents: Parents<'r>,
    options: &'o ExtractOptions,
    times: Vec<(Vec<u8>, (i64, u32))>,
}

impl Tree<'_, '_> {
    fn add<R: Read>(&mut self, entry: &Entry, path: &[u8], reader: &mut Reader<R>) -> Result<()> {
        if path.is_empty() {
            // The destination itself is there already and keeps its attributes.
            return Ok(());
        }
        let (parent, name) = path::split(path);
        let directory = self.parents.open(parent, true)?;
        let existing = place::existing(directory, name).map_err(|errno| Error::entry("look at", path, errno))?;
        if let Some(existing) = existing {
            self.make_room(entry, path, FileType::from_raw_mode(existing.st_mode).is_dir())?;
        }
        if entry.kind == Kind::HardLink {
            return self.hard_link(entry, path);
        }
        let directory = self.parents.open(parent, true)?;
        place::make(directory, name, entry, reader, self.options.shift)?;
        if entry.kind == Kind::Directory {
            self.times.push((path.to_vec(), entry.mtime));
        }
        Ok(())
    }

    fn make_room(&mut self, entry: &Entry, path: &[u8], was_directory: bool) -> Result<()> {
        let is_directory = entry.kind == Kind::Directory;
        if was_directory != is_directory && self.options.no_overwrite_dir_non_dir {
            let word = |directory| if directory { "directory" } else { "non-directory" };
            return Err(Error::Overwrite {
                old: word(was_directory),
                path: String::from_utf8_lossy(path).into_owned(),
                new: word(is_directory),
                root: String::from_utf8_lossy(&entry.path).into_owned(),
            });
        }
        if was_directory && is_directory {
            return Ok(());
        }
        let (parent, name) = path::split(path);
        let removed = place::remove(self.parents.open(parent, false)?, name);
        self.parents.forget();
        removed.map_err(|errno| Error::entry("replace", path, errno))
    }

    fn hard_link(&mut self, entry: &Entry, path: &[u8]) -> Result<()> {
        let failed = |errno: Errno| Error::entry("link", path, errno);
        let target = path::clean(&entry.link)?;
        if target.is_empty() || target == path {
            return Err(Error::hostile(path, "a hard link to itself or to the root"));
        }
        let (target_parent, target_name) = path::split(&target);
        let source: OwnedFd =
            rustix::io::fcntl_dupfd_cloexec(self.parents.open(target_parent, false)?, 0).map_err(failed)?;
        let (parent, name) = path::split(path);
        let directory = self.parents.open(parent, true)?;
        rustix::fs::linkat(&source, target_name, directory, name, AtFlags::empty()).map_err(failed)
    }

    /// A directory that a process in the tree took away meanwhile has no time to restore.
    fn restore_times(&mut self) {
        for (path, time) in std::mem::take(&mut self.times).into_iter().rev() {
            let (parent, name) = path::split(&path);
            if let Ok(directory) = self.parents.open(parent, false) {
                let _ = rustix::fs::utimensat(directory, name, &place::times_of(time), AtFlags::SYMLINK_NOFOLLOW);
            }
        }
    }
}
