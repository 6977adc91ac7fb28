//! An archive becomes an image layer (OCI image specification, layer.md; Linux overlayfs documentation, "whiteouts and
//! opaque directories").

use std::{collections::HashMap, io::Read, os::fd::BorrowedFd};

use berth_sys::user_namespace::overlay_attribute;
use rustix::{
    fs::{AtFlags, FileType, Mode, XattrFlags},
    io::Errno,
};

use super::{Limits, Meter, Unpacked, parents::Parents, place};
use crate::{
    Error, IdShift, Result, path,
    tar::{Entry, Kind, Reader},
};

/// What `.wh.` names mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whiteouts {
    /// They become overlay's own whiteouts and opaque directories.
    Overlay,
    /// They are names like any other.
    Plain,
}

const WHITEOUT: &[u8] = b".wh.";
/// aufs's own bookkeeping, and the opaque mark.
const META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Unpacks an uncompressed archive into the directory `root`, which should be empty, and reads the stream to its end.
///
/// # Errors
/// [`Error::Limit`], [`Error::Escape`], [`Error::Hostile`], [`Error::Format`], [`Error::Read`], [`Error::Entry`]; what
/// was unpacked until then stays below `root`.
pub fn unpack_layer(
    reader: impl Read,
    root: BorrowedFd<'_>,
    limits: &Limits,
    whiteouts: Whiteouts,
    shift: IdShift,
) -> Result<Unpacked> {
    let mut reader = Reader::new(reader);
    let owner = shift.to_disk((0, 0));
    let mut layer = Layer { parents: Parents::new(root, owner), shift, whiteouts, times: HashMap::new() };
    let mut meter = Meter::new(*limits);
    while let Some(entry) = reader.next_entry()? {
        let path = path::clean(&entry.path)?;
        meter.admit(&entry, &path)?;
        layer.add(&entry, &path, &mut reader)?;
    }
    layer.restore_times()?;
    reader.drain()?;
    Ok(meter.done)
}

struct Layer<'r> {
    parents: Parents<'r>,
    shift: IdShift,
    whiteouts: Whiteouts,
    /// Times of directories, set when their contents no longer change.
    times: HashMap<Vec<u8>, (i64, u32)>,
}

impl Layer<'_> {
    fn add<R: Read>(&mut self, entry: &Entry, path: &[u8], reader: &mut Reader<R>) -> Result<()> {
        if self.whiteouts == Whiteouts::Overlay {
            if self.whiteout(path)? {
                return Ok(());
            }
            if entry.kind == Kind::CharDevice && entry.device == (0, 0) {
                return Err(Error::hostile(path, "a device 0/0, which overlay would take for a whiteout"));
            }
        }
        if path.is_empty() {
            return self.root_entry(entry, reader);
        }
        let (parent, name) = path::split(path);
        if entry.kind == Kind::HardLink {
            return self.hard_link(entry, path);
        }
        let directory = self.parents.open(parent, true)?;
        match place::make(directory, name, entry, reader, self.shift) {
            Err(Error::Entry { source, act: "create", .. })
                if matches!(Errno::from_io_error(&source), Some(Errno::EXIST | Errno::NOTDIR | Errno::LOOP)) =>
            {
                let was_whiteout = self.clear(path)?;
                let directory = self.parents.open(parent, true)?;
                place::make(directory, name, entry, reader, self.shift)?;
                if was_whiteout && entry.kind == Kind::Directory {
                    self.make_opaque(path)?;
                }
            }
            other => other?,
        }
        if entry.kind == Kind::Directory {
            self.times.insert(path.to_vec(), entry.mtime);
        }
        Ok(())
    }

    /// `./`: the root's own owner, mode and time.
    fn root_entry<R: Read>(&mut self, entry: &Entry, reader: &mut Reader<R>) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(Error::hostile(&entry.path, "the root must be a directory"));
        }
        place::make(self.parents.start(), b".", entry, reader, self.shift)?;
        self.times.insert(Vec::new(), entry.mtime);
        Ok(())
    }

    /// Removes what is at `path`; gives whether it was a whiteout.
    fn clear(&mut self, path: &[u8]) -> Result<bool> {
        let failed = |errno: Errno| Error::entry("replace", path, errno);
        let (parent, name) = path::split(path);
        let directory = self.parents.open(parent, false)?;
        let was_whiteout = place::existing(directory, name).map_err(failed)?.is_some_and(|stat| is_whiteout(&stat));
        place::remove(directory, name).map_err(failed)?;
        self.parents.forget();
        self.times.retain(|known, _| known != path && !(known.starts_with(path) && known[path.len()] == b'/'));
        Ok(was_whiteout)
    }

    fn hard_link(&mut self, entry: &Entry, path: &[u8]) -> Result<()> {
        let target = path::clean(&entry.link)?;
        if target.is_empty() || target == path {
            return Err(Error::hostile(path, "a hard link to itself or to the root"));
        }
        let failed = |errno: Errno| Error::entry("link", path, errno);
        let (target_parent, target_name) = path::split(&target);
        let source = self.parents.open(target_parent, false)?;
        let source = rustix::io::fcntl_dupfd_cloexec(source, 0).map_err(failed)?;
        let (parent, name) = path::split(path);
        let link =
            |directory: BorrowedFd<'_>| rustix::fs::linkat(&source, target_name, directory, name, AtFlags::empty());
        match link(self.parents.open(parent, true)?) {
            Err(Errno::EXIST) => {
                self.clear(path)?;
                link(self.parents.open(parent, true)?).map_err(failed)
            }
            other => other.map_err(failed),
        }
    }

    /// Whether the entry was a whiteout or part of aufs's bookkeeping, and is dealt with.
    fn whiteout(&mut self, path: &[u8]) -> Result<bool> {
        let (parent, name) = path::split(path);
        for component in parent.split(|byte| *byte == b'/') {
            if component.starts_with(META) {
                return Ok(true);
            }
            if component.starts_with(WHITEOUT) {
                return Err(Error::hostile(path, "an entry below a whiteout"));
            }
        }
        let Some(hidden) = name.strip_prefix(WHITEOUT) else { return Ok(false) };
        if name == OPAQUE {
            self.parents.open(parent, true)?;
            self.make_opaque(parent)?;
        } else if !name.starts_with(META) {
            if matches!(hidden, b"" | b"." | b"..") {
                return Err(Error::hostile(path, "a whiteout of no name"));
            }
            self.hide(path, parent, hidden)?;
        }
        Ok(true)
    }

    /// Puts a whiteout at `hidden`. A whiteout hides what lower layers have, never what this layer has: that stays, and
    /// a directory becomes opaque.
    fn hide(&mut self, path: &[u8], parent: &[u8], hidden: &[u8]) -> Result<()> {
        let failed = |errno: Errno| Error::entry("create", path, errno);
        let directory = self.parents.open(parent, true)?;
        match rustix::fs::mknodat(directory, hidden, FileType::CharacterDevice, Mode::empty(), 0) {
            Err(Errno::EXIST) => {
                let stat = place::existing(directory, hidden).map_err(failed)?;
                if stat.is_some_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir()) {
                    let separator: &[u8] = if parent.is_empty() { b"" } else { b"/" };
                    self.make_opaque(&[parent, separator, hidden].concat())?;
                }
                Ok(())
            }
            other => other.map_err(failed),
        }
    }

    fn make_opaque(&mut self, path: &[u8]) -> Result<()> {
        let directory = self.parents.open(path, false)?;
        let outcome = rustix::fs::fsetxattr(directory, overlay_attribute("opaque"), b"y", XattrFlags::empty());
        outcome.map_err(|errno| Error::entry("make opaque", path, errno))
    }

    fn restore_times(&mut self) -> Result<()> {
        let mut times: Vec<_> = std::mem::take(&mut self.times).into_iter().collect();
        // Neighbours in order, so that the directories above them stay open; setting a time changes no other time.
        times.sort_unstable();
        for (path, time) in times {
            let failed = |errno: Errno| Error::entry("set the time of", &path, errno);
            let (parent, name) = path::split(&path);
            let directory = self.parents.open(parent, false)?;
            let name = if path.is_empty() { b"." } else { name };
            match rustix::fs::utimensat(directory, name, &place::times_of(time), AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => {}
                other => other.map_err(failed)?,
            }
        }
        Ok(())
    }
}

fn is_whiteout(stat: &rustix::fs::Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}
