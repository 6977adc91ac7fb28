//! An unpacked layer held against its archive: what an archive would make today, and what is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    os::fd::BorrowedFd,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use sha2::{Digest as _, Sha256};

use super::{Limits, Meter, parents::Parents};
use crate::{
    BUFFER_BYTES, Error, Result, pack, path,
    tar::{Entry, Kind, Reader},
};

/// Most differences that are told.
const DIFFERENCES_MAX: usize = 20;
/// Names of whiteouts, and of aufs's bookkeeping.
const WHITEOUT: &[u8] = b".wh.";
const META: &[u8] = b".wh..wh.";

/// What must lie at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expected {
    kind: Kind,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    device: (u32, u32),
    link: Vec<u8>,
    digest: [u8; 32],
}

/// Compares the layer unpacked in `root` with its uncompressed archive: kinds, owners, modes, sizes and contents, and
/// that nothing else is there. Gives a sentence for each difference, at most 20.
///
/// # Errors
/// As [`super::unpack_layer`]; what cannot be read of the layer is a difference.
pub fn verify_layer(reader: impl Read, root: BorrowedFd<'_>, limits: &Limits) -> Result<Vec<String>> {
    let mut reader = Reader::new(reader);
    let mut meter = Meter::new(*limits);
    let mut wanted: BTreeMap<Vec<u8>, Expected> = BTreeMap::new();
    while let Some(entry) = reader.next_entry()? {
        let path = path::clean(&entry.path)?;
        meter.admit(&entry, &path)?;
        expect(&mut wanted, &entry, path, &mut reader)?;
    }
    reader.drain()?;
    let mut found = Vec::new();
    let mut parents = Parents::new(root, (0, 0));
    for (path, expected) in &wanted {
        if let Some(difference) = compare(&mut parents, path, expected) {
            found.push(format!("{}: {difference}", String::from_utf8_lossy(path)));
        }
        if found.len() == DIFFERENCES_MAX {
            return Ok(found);
        }
    }
    strangers(root, &wanted, &mut found);
    Ok(found)
}

/// Takes over one entry, as unpacking would.
fn expect<R: Read>(
    wanted: &mut BTreeMap<Vec<u8>, Expected>,
    entry: &Entry,
    path: Vec<u8>,
    reader: &mut Reader<R>,
) -> Result<()> {
    let (parent, name) = path::split(&path);
    if parent.split(|byte| *byte == b'/').any(|part| part.starts_with(META)) || name.starts_with(META) {
        return Ok(());
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        let separator: &[u8] = if parent.is_empty() { b"" } else { b"/" };
        let hidden = [parent, separator, hidden].concat();
        let mut whiteout = describe(entry);
        (whiteout.kind, whiteout.device, whiteout.mode, whiteout.owner) = (Kind::CharDevice, (0, 0), 0, (0, 0));
        wanted.entry(hidden).or_insert(whiteout);
        return Ok(());
    }
    let mut expected = describe(entry);
    if entry.kind == Kind::HardLink {
        let Some(target) = wanted.get(&path::clean(&entry.link)?) else { return Ok(()) };
        expected = target.clone();
    } else if entry.kind == Kind::File {
        expected.digest = digest_of(|buffer| reader.read(buffer)).map_err(Error::read)?;
    }
    if expected.kind != Kind::Directory {
        // Whatever lay below a directory of this name is gone with it.
        let below = [&path[..], b"/"].concat();
        wanted.retain(|known, _| !known.starts_with(&below));
    }
    wanted.insert(path, expected);
    Ok(())
}

fn describe(entry: &Entry) -> Expected {
    Expected {
        kind: entry.kind,
        mode: if entry.kind == Kind::Symlink { 0o777 } else { entry.mode & 0o7777 },
        owner: (entry.uid, entry.gid),
        size: if entry.kind == Kind::File { entry.size } else { 0 },
        device: entry.device,
        link: if entry.kind == Kind::Symlink { entry.link.clone() } else { Vec::new() },
        digest: [0; 32],
    }
}

fn digest_of(mut read: impl FnMut(&mut [u8]) -> std::io::Result<usize>) -> std::io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match read(&mut buffer) {
            Ok(0) => return Ok(hash.finalize().into()),
            Ok(length) => hash.update(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What is wrong at a path.
fn compare(parents: &mut Parents<'_>, path: &[u8], expected: &Expected) -> Option<String> {
    let (parent, name) = path::split(path);
    let name = if path.is_empty() { b"." } else { name };
    let directory = match parents.open(parent, false) {
        Ok(directory) => directory,
        Err(error) => return Some(error.to_string()),
    };
    let stat = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Some("is missing".to_owned()),
        Err(errno) => return Some(format!("cannot be looked at: {errno}")),
    };
    if kind_of(&stat) != Some(expected.kind) {
        return Some("is something else".to_owned());
    }
    if (stat.st_uid, stat.st_gid) != expected.owner {
        return Some(format!("belongs to {}:{}", stat.st_uid, stat.st_gid));
    }
    if stat.st_mode & 0o7777 != expected.mode {
        return Some(format!("has the mode {:o} instead of {:o}", stat.st_mode & 0o7777, expected.mode));
    }
    let device = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    match expected.kind {
        Kind::CharDevice | Kind::BlockDevice if device != expected.device => Some("is another device".to_owned()),
        Kind::Symlink => match rustix::fs::readlinkat(directory, name, Vec::new()) {
            Ok(target) if target.to_bytes() == expected.link => None,
            _ => Some("points elsewhere".to_owned()),
        },
        Kind::File => compare_contents(directory, name, &stat, expected),
        _ => None,
    }
}

fn compare_contents(directory: BorrowedFd<'_>, name: &[u8], stat: &Stat, expected: &Expected) -> Option<String> {
    if u64::try_from(stat.st_size) != Ok(expected.size) {
        return Some(format!("has {} bytes instead of {}", stat.st_size, expected.size));
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(file) => std::fs::File::from(file),
        Err(errno) => return Some(format!("cannot be opened: {errno}")),
    };
    match digest_of(|buffer| (&file).read(buffer)) {
        Ok(digest) if digest == expected.digest => None,
        Ok(_) => Some("has other contents".to_owned()),
        Err(error) => Some(format!("cannot be read: {error}")),
    }
}

fn kind_of(stat: &Stat) -> Option<Kind> {
    Some(match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Symlink,
        FileType::CharacterDevice => Kind::CharDevice,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket | FileType::Unknown => return None,
    })
}

/// Adds what lies in the layer and is neither in the archive nor a directory above something that is.
fn strangers(root: BorrowedFd<'_>, wanted: &BTreeMap<Vec<u8>, Expected>, found: &mut Vec<String>) {
    let mut known: BTreeSet<&[u8]> = wanted.keys().map(Vec::as_slice).collect();
    for path in wanted.keys() {
        let mut above = path::split(path).0;
        while !above.is_empty() && known.insert(above) {
            above = path::split(above).0;
        }
    }
    let mut parents = Parents::new(root, (0, 0));
    let mut pending = vec![Vec::new()];
    while let Some(path) = pending.pop() {
        let names = parents.open(&path, false).ok().and_then(|directory| pack::names(directory).ok());
        for name in names.unwrap_or_default() {
            let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
            let below = [&path[..], separator, &name].concat();
            if !known.contains(&below[..]) {
                found.push(format!("{}: is not in the archive", String::from_utf8_lossy(&below)));
                if found.len() == DIFFERENCES_MAX {
                    return;
                }
                continue;
            }
            let is_directory = parents
                .open(&path, false)
                .ok()
                .and_then(|directory| rustix::fs::statat(directory, &name[..], AtFlags::SYMLINK_NOFOLLOW).ok())
                .is_some_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir());
            if is_directory {
                pending.push(below);
            }
        }
    }
}
