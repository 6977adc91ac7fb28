//! What files are: looked up, read, changed.

use std::os::fd::{AsFd as _, BorrowedFd};

use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, Statx, Timespec, Timestamps, Uid},
    io::Errno,
};

use crate::{
    abi::{Head, Input, Output, set},
    server::{Outcome, Server},
    tree::{facts, kind},
};

/// A name is believed for so long, in seconds; attributes are not, so that what the host or another container writes is
/// seen at the next look.
const ENTRY_VALID_S: u64 = 1;

pub fn look_up(server: &mut Server, head: &Head, mut input: Input<'_>) -> Outcome {
    let name = input.name()?;
    entry(server, head.node, name)
}

/// `struct fuse_entry_out` of a directory's entry.
pub fn entry(server: &mut Server, parent: u64, name: &[u8]) -> Outcome {
    let (number, facts) = server.tree.look_up(parent, name)?;
    let mut output = Output::default();
    put_entry(server, &mut output, number, &facts);
    Ok(output)
}

/// Appends `struct fuse_entry_out`.
pub fn put_entry(server: &mut Server, output: &mut Output, number: u64, facts: &Statx) {
    output.u64(number).u64(0).u64(ENTRY_VALID_S).u64(0).u32(0).u32(0);
    let ino = server.tree.shown_ino(facts);
    output.attributes(facts, ino);
}

pub fn get(server: &mut Server, head: &Head, mut input: Input<'_>) -> Outcome {
    const BY_HANDLE: u32 = 1;
    let flags = input.u32()?;
    input.skip(4)?;
    let handle = input.u64()?;
    let found = match server.handle(handle) {
        Ok(file) if flags & BY_HANDLE != 0 => facts(file.as_fd())?,
        _ => facts(server.tree.get(head.node)?)?,
    };
    Ok(attributes(server, &found))
}

/// `struct fuse_attr_out`.
fn attributes(server: &mut Server, facts: &Statx) -> Output {
    let mut output = Output::default();
    let ino = server.tree.shown_ino(facts);
    output.u64(0).u32(0).u32(0).attributes(facts, ino);
    output
}

pub fn set(server: &mut Server, head: &Head, mut input: Input<'_>) -> Outcome {
    let valid = input.u32()?;
    input.skip(4)?;
    let (handle, size) = (input.u64()?, input.u64()?);
    input.skip(8)?;
    let (atime, mtime, _ctime) = (input.u64()?, input.u64()?, input.u64()?);
    let (atime_nsec, mtime_nsec, _ctime_nsec) = (input.u32()?, input.u32()?, input.u32()?);
    let mode = input.u32()?;
    input.skip(4)?;
    let (uid, gid) = (input.u32()?, input.u32()?);

    let path = server.tree.path(head.node)?;
    let node = server.tree.get(head.node)?;
    // The owner first: a change of it takes set-id bits away, which the mode may give back.
    if valid & (set::UID | set::GID) != 0 {
        let uid = if valid & set::UID != 0 { Some(user(uid)?) } else { None };
        let gid = if valid & set::GID != 0 { Some(group(gid)?) } else { None };
        rustix::fs::chownat(node, "", uid, gid, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)?;
    }
    if valid & set::MODE != 0 {
        change_mode(node, &path, mode)?;
    }
    if valid & set::SIZE != 0 {
        match server.handle(handle) {
            Ok(file) if valid & set::FH != 0 => rustix::fs::ftruncate(file, size)?,
            _ => rustix::fs::ftruncate(server.tree.open(head.node, OFlags::WRONLY)?, size)?,
        }
    }
    if valid & (set::ATIME | set::MTIME) != 0 {
        let time = |given: u32, now: u32, seconds: u64, nanoseconds: u32| {
            let nanoseconds = match () {
                () if valid & given == 0 => rustix::fs::UTIME_OMIT,
                () if valid & now != 0 => rustix::fs::UTIME_NOW,
                () => i64::from(nanoseconds.min(999_999_999)),
            };
            Timespec { tv_sec: seconds as i64, tv_nsec: nanoseconds }
        };
        let times = Timestamps {
            last_access: time(set::ATIME, set::ATIME_NOW, atime, atime_nsec),
            last_modification: time(set::MTIME, set::MTIME_NOW, mtime, mtime_nsec),
        };
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::empty())?;
    }
    let found = facts(server.tree.get(head.node)?)?;
    Ok(attributes(server, &found))
}

/// The number of a user; the highest is nobody's (chown(2)).
pub fn user(raw: u32) -> Result<Uid, Errno> {
    if raw == u32::MAX { Err(Errno::INVAL) } else { Ok(Uid::from_raw(raw)) }
}

/// As [`user`].
pub fn group(raw: u32) -> Result<Gid, Errno> {
    if raw == u32::MAX { Err(Errno::INVAL) } else { Ok(Gid::from_raw(raw)) }
}

/// Sets permission bits. A symbolic link has none, and its target is not this file.
pub fn change_mode(node: BorrowedFd<'_>, path: &str, mode: u32) -> Result<(), Errno> {
    if kind(&facts(node)?) == FileType::Symlink {
        return Err(Errno::OPNOTSUPP);
    }
    rustix::fs::chmodat(rustix::fs::CWD, path, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())
}

pub fn statfs(server: &mut Server, head: &Head) -> Outcome {
    let found = rustix::fs::fstatvfs(server.tree.get(head.node)?)?;
    let mut output = Output::default();
    output.u64(found.f_blocks).u64(found.f_bfree).u64(found.f_bavail).u64(found.f_files).u64(found.f_ffree);
    output.u32(found.f_bsize as u32).u32(found.f_namemax as u32).u32(found.f_frsize as u32);
    output.0.extend_from_slice(&[0; 28]);
    Ok(output)
}
