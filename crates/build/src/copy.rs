//! Files are copied into a root file system: descriptor-relative on both sides, so that no link leads out of either.

use std::{
    collections::HashMap,
    fs::File,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};

use crate::{
    Error, Result, checksum,
    place::{ModeChange, Owner, ensure_directory, make_room, set_owner_and_mode, split},
    select::{Item, Match},
    tree,
};

/// How files are copied.
#[derive(Debug, Clone, Default)]
pub(crate) struct CopyOptions {
    /// The owner of all; none keeps each one's own.
    pub owner: Option<Owner>,
    /// `--chmod`.
    pub mode: Option<ModeChange>,
    /// The time of all, in seconds since 1970; none keeps each one's own.
    pub epoch: Option<i64>,
    /// Sources keep the folders they lie in.
    pub parents: bool,
}

/// Attributes that travel with a file.
const KEPT_XATTRS: &[&str] = &["security.capability", "user."];

/// Copies one match to `destination`, an absolute path. `into` says that the destination is a folder to put it in.
pub(crate) fn copy(
    root: BorrowedFd<'_>,
    found: &Match,
    destination: &str,
    into: bool,
    options: &CopyOptions,
) -> Result<()> {
    let owner = options.owner.unwrap_or((0, 0));
    let mut copier = Copier { options, links: HashMap::new(), folders: Vec::new() };
    if found.is_dir {
        let target = match options.parents {
            true => tree::join(destination, found.kept()),
            false => destination.to_owned(),
        };
        let exists = tree::look(root, &target).map_err(Error::call("look at", &target))?;
        if exists.is_some_and(|stat| !tree::is_dir(&stat)) {
            return Err(Error::Invalid(format!("cannot copy to non-directory: {target}")));
        }
        let top = ensure_directory(root, &target, owner)?;
        if exists.is_none() {
            copier.dress_top(top.as_fd(), &found.items[0])?;
        }
        for item in &found.items[1..] {
            copier.item(top.as_fd(), item)?;
        }
        return copier.finish();
    }
    let target = match (options.parents, into) {
        (true, _) => tree::join(destination, found.kept()),
        (false, true) => tree::join(destination, split(&found.path).1),
        (false, false) => destination.to_owned(),
    };
    let target = real(root, &target)?;
    let (parent, name) = split(&target);
    let above = ensure_directory(root, parent, owner)?;
    copier.place(above.as_fd(), name, &found.items[0], &target)?;
    copier.finish()
}

/// Whether a destination is a folder to put things in: it says so, or there is one.
pub(crate) fn is_folder(root: BorrowedFd<'_>, destination: &str, written: &str) -> Result<bool> {
    if written.ends_with('/') || written == "." || written.ends_with("/.") {
        return Ok(true);
    }
    let found = tree::look(root, destination).map_err(Error::call("look at", destination))?;
    Ok(found.is_some_and(|stat| tree::is_dir(&stat)))
}

/// Where a path ends once a link at its end is followed, at most 40 times, always inside of the root.
fn real(root: BorrowedFd<'_>, path: &str) -> Result<String> {
    let mut path = path.to_owned();
    for _ in 0..40 {
        let (parent, name) = split(&path);
        let Ok(above) = tree::open_directory(root, parent) else { return Ok(path) };
        match rustix::fs::readlinkat(&above, name, Vec::new()) {
            Ok(target) => match target.to_str() {
                Ok(target) => path = tree::join(parent, target),
                Err(_) => return Ok(path),
            },
            Err(_) => return Ok(path),
        }
    }
    Err(Error::Invalid(format!("too many links at {path}")))
}

/// Writes a file that the Dockerfile holds.
pub(crate) fn write(root: BorrowedFd<'_>, path: &str, bytes: &[u8], mode: u32, options: &CopyOptions) -> Result<()> {
    let owner = options.owner.unwrap_or((0, 0));
    let path = real(root, path)?;
    let (parent, name) = split(&path);
    let above = ensure_directory(root, parent, owner)?;
    make_room(above.as_fd(), name, false, &path)?;
    let mut file = create(above.as_fd(), name, &path)?;
    std::io::Write::write_all(&mut file, bytes).map_err(Error::file("write", &path))?;
    let mode = options.mode.as_ref().map_or(mode, |change| change.apply(mode, false));
    set_owner_and_mode(above.as_fd(), name, owner, mode, &path)?;
    match options.epoch {
        Some(epoch) => stamp(above.as_fd(), name, (epoch, 0), &path),
        None => Ok(()),
    }
}

fn create(directory: BorrowedFd<'_>, name: &str, path: &str) -> Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(directory, name, flags, Mode::from_raw_mode(0o600));
    file.map(File::from).map_err(Error::call("create", path))
}

fn stamp(directory: BorrowedFd<'_>, name: &str, (seconds, nanoseconds): (i64, i64), path: &str) -> Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(directory, name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(Error::call("date", path))
}

struct Copier<'c> {
    options: &'c CopyOptions,
    /// First copies of files with several names, by device and inode.
    links: HashMap<(u64, u64), OwnedFd>,
    /// Folders get their times last: what is made in them changes those.
    folders: Vec<(OwnedFd, (i64, i64))>,
}

impl Copier<'_> {
    fn time(&self, item: &Item) -> (i64, i64) {
        match self.options.epoch {
            Some(epoch) => (epoch, 0),
            None => (item.stat.st_mtime, item.stat.st_mtime_nsec as i64),
        }
    }

    fn owner(&self, item: &Item) -> Owner {
        self.options.owner.unwrap_or((item.stat.st_uid, item.stat.st_gid))
    }

    fn mode(&self, item: &Item) -> u32 {
        let mode = item.stat.st_mode & 0o7777;
        self.options.mode.as_ref().map_or(mode, |change| change.apply(mode, tree::is_dir(&item.stat)))
    }

    /// The folder that was made for the top of a word looks like it.
    fn dress_top(&mut self, top: BorrowedFd<'_>, item: &Item) -> Result<()> {
        let (uid, gid) = self.owner(item);
        rustix::fs::fchown(top, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
            .map_err(Error::call("chown", "."))?;
        rustix::fs::fchmod(top, Mode::from_raw_mode(self.mode(item))).map_err(Error::call("chmod", "."))?;
        let top = top.try_clone_to_owned().map_err(Error::file("open", "."))?;
        self.folders.push((top, self.time(item)));
        Ok(())
    }

    fn item(&mut self, top: BorrowedFd<'_>, item: &Item) -> Result<()> {
        let (parent, name) = match item.target.rsplit_once('/') {
            Some((parent, name)) => (parent, name),
            None => ("", item.target.as_str()),
        };
        // Folders of the destination are never entered through a link of its own.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let above = tree::open_plain(top, parent, flags).map_err(|errno| match errno {
            Errno::LOOP | Errno::NOTDIR => Error::Invalid(format!("cannot copy to non-directory: {parent}")),
            errno => Error::call("open", parent)(errno),
        })?;
        self.place(above.as_fd(), name, item, &item.target)
    }

    fn place(&mut self, above: BorrowedFd<'_>, name: &str, item: &Item, path: &str) -> Result<()> {
        let kind = FileType::from_raw_mode(item.stat.st_mode);
        let exists = make_room(above, name, kind.is_dir(), path)?;
        match kind {
            FileType::Directory => return self.folder(above, name, item, exists, path),
            FileType::RegularFile => {
                if !self.file(above, name, item, path)? {
                    return Ok(());
                }
            }
            FileType::Symlink => {
                rustix::fs::symlinkat(&item.link[..], above, name).map_err(Error::call("link", path))?;
                let (uid, gid) = self.owner(item);
                let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
                rustix::fs::chownat(above, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(Error::call("chown", path))?;
                return stamp(above, name, self.time(item), path);
            }
            FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
                let mode = Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(above, name, kind, mode, item.stat.st_rdev).map_err(Error::call("create", path))?;
            }
            _ => return Ok(()),
        }
        set_owner_and_mode(above, name, self.owner(item), self.mode(item), path)?;
        if kind == FileType::RegularFile {
            // A change of owner drops capabilities: they come after it.
            copy_attributes(above, name, item);
        }
        stamp(above, name, self.time(item), path)
    }

    fn folder(&mut self, above: BorrowedFd<'_>, name: &str, item: &Item, exists: bool, path: &str) -> Result<()> {
        if exists {
            return Ok(());
        }
        rustix::fs::mkdirat(above, name, Mode::from_raw_mode(0o700)).map_err(Error::call("create", path))?;
        set_owner_and_mode(above, name, self.owner(item), self.mode(item), path)?;
        let made =
            tree::open_plain(above, name, OFlags::RDONLY | OFlags::DIRECTORY).map_err(Error::call("open", path))?;
        self.folders.push((made, self.time(item)));
        Ok(())
    }

    /// Says whether a new file was made: another name of one that was copied already needs nothing more.
    fn file(&mut self, above: BorrowedFd<'_>, name: &str, item: &Item, path: &str) -> Result<bool> {
        let key = (item.stat.st_dev, item.stat.st_ino);
        if item.stat.st_nlink > 1
            && let Some(first) = self.links.get(&key)
        {
            rustix::fs::linkat(first, c"", above, name, AtFlags::EMPTY_PATH).map_err(Error::call("link", path))?;
            return Ok(false);
        }
        let mut source = checksum::open(item)?;
        let mut made = create(above, name, path)?;
        std::io::copy(&mut source, &mut made).map_err(Error::file("write", path))?;
        if item.stat.st_nlink > 1 {
            self.links.insert(key, made.into());
        }
        Ok(true)
    }

    fn finish(self) -> Result<()> {
        for (folder, (seconds, nanoseconds)) in self.folders.iter().rev() {
            let time = Timespec { tv_sec: *seconds, tv_nsec: *nanoseconds as _ };
            let times = Timestamps { last_access: time, last_modification: time };
            rustix::fs::futimens(folder, &times).map_err(Error::call("date", "a folder"))?;
        }
        Ok(())
    }
}

/// Attributes that a file system does not take are left behind, as `cp -a` does.
fn copy_attributes(above: BorrowedFd<'_>, name: &str, item: &Item) {
    let Ok(source) = checksum::open(item) else { return };
    let mut list = vec![0u8; 64 << 10];
    let Ok(length) = rustix::fs::flistxattr(&source, &mut list[..]) else { return };
    if length == 0 {
        return;
    }
    let Ok(target) = tree::open_plain(above, name, OFlags::RDONLY) else { return };
    for key in list[..length].split(|byte| *byte == 0).filter_map(|key| std::str::from_utf8(key).ok()) {
        if !KEPT_XATTRS.iter().any(|kept| key == *kept || (kept.ends_with('.') && key.starts_with(kept))) {
            continue;
        }
        let mut value = vec![0u8; 64 << 10];
        if let Ok(length) = rustix::fs::fgetxattr(&source, key, &mut value[..]) {
            let _ = rustix::fs::fsetxattr(&target, key, &value[..length], XattrFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::select::{Filter, select};

    fn copied(source: &std::path::Path, word: &str, to: &std::path::Path, destination: &str, options: &CopyOptions) {
        let (from, root) = (tree::Tree::open(source, None).expect("open"), tree::Tree::open(to, None).expect("open"));
        for found in select(from.root(), word, Filter::default()).expect("select") {
            let into = is_folder(root.root(), &tree::clean(destination), destination).expect("look");
            copy(root.root(), &found, &tree::clean(destination), into, options).expect("copy");
        }
    }

    #[test]
    fn trees_keep_modes_links_and_times() {
        let (source, target) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        std::fs::create_dir(source.path().join("d")).expect("create");
        std::fs::write(source.path().join("d/a"), "one").expect("write");
        std::fs::set_permissions(source.path().join("d/a"), std::fs::Permissions::from_mode(0o4755)).expect("chmod");
        std::fs::hard_link(source.path().join("d/a"), source.path().join("d/b")).expect("link");
        symlink("a", source.path().join("d/l")).expect("link");
        copied(source.path(), "d", target.path(), "/x/y", &CopyOptions { owner: Some((0, 0)), ..Default::default() });
        let a = std::fs::metadata(target.path().join("x/y/a")).expect("copied");
        let b = std::fs::metadata(target.path().join("x/y/b")).expect("copied");
        assert_eq!((a.mode() & 0o7777, a.ino()), (0o4755, b.ino()));
        assert_eq!(a.mtime(), std::fs::metadata(source.path().join("d/a")).expect("there").mtime());
        assert_eq!(std::fs::read_link(target.path().join("x/y/l")).expect("a link").to_str(), Some("a"));
        copied(source.path(), "d/a", target.path(), "/x/", &CopyOptions { epoch: Some(5), ..Default::default() });
        assert_eq!(std::fs::metadata(target.path().join("x/a")).expect("copied").mtime(), 5);
    }

    #[test]
    fn a_destination_never_leads_out() {
        let outside = tempfile::tempdir().expect("a folder");
        std::fs::write(outside.path().join("canary"), "alive").expect("write");
        let (source, target) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        std::fs::create_dir(source.path().join("esc")).expect("create");
        std::fs::write(source.path().join("esc/canary"), "dead").expect("write");
        std::fs::write(source.path().join("canary"), "dead").expect("write");
        symlink(outside.path(), target.path().join("esc")).expect("link");
        symlink(outside.path().join("canary"), target.path().join("canary")).expect("link");
        let (from, root) = (
            tree::Tree::open(source.path(), None).expect("open"),
            tree::Tree::open(target.path(), None).expect("open"),
        );
        for found in select(from.root(), "*", Filter::default()).expect("select") {
            let _ = copy(root.root(), &found, "/", true, &CopyOptions::default());
        }
        let found = select(from.root(), ".", Filter::default()).expect("select");
        assert!(copy(root.root(), &found[0], "/", true, &CopyOptions::default()).is_err());
        assert_eq!(std::fs::read_to_string(outside.path().join("canary")).expect("read"), "alive");
        assert_eq!(std::fs::read_dir(outside.path()).expect("read").count(), 1);
    }
}
