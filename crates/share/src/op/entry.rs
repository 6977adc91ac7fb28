//! Entries of directories: made, renamed, removed.
//!
//! The server is the guest's root; what is made belongs to who asked for it a moment later. The guest's kernel has
//! checked whether that one may (virtiofs is always mounted with `default_permissions`).

use std::{
    ffi::OsStr,
    os::{fd::AsFd as _, unix::ffi::OsStrExt as _},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, RenameFlags},
    io::Errno,
};

use super::attribute::{change_mode, entry, group, user};
use crate::{
    abi::{Head, Input, Output},
    server::{Outcome, Server},
    tree::facts,
};

pub fn read_link(server: &mut Server, head: &Head) -> Outcome {
    let target = rustix::fs::readlinkat(server.tree.get(head.node)?, "", Vec::new())?;
    Ok(Output(target.into_bytes()))
}

pub fn symlink(server: &mut Server, head: &Head, mut input: Input<'_>) -> Outcome {
    let (name, target) = (input.name()?, input.text()?);
    rustix::fs::symlinkat(OsStr::from_bytes(target), server.tree.get(head.node)?, OsStr::from_bytes(name))?;
    give(server, head, name, None)
}

pub fn make_node(server: &mut Server, head: &Head, mut input: Input<'_>) -> Outcome {
    let (mode, device) = (input.u32()?, input.u32()?);
    input.skip(8)?;
    let name = input.name()?;
    let kind = FileType::from_raw_mode(mode);
    // huge_decode_dev of linux/kdev_t.h. In a user namespace the kernel refuses devices anyway.
    let device = rustix::fs::makedev((device & 0xfff00) >> 8, device & 0xff | (device >> 12) & 0xfff00);
    let parent = server.tree.get(head.node)?;
    rustix::fs::mknodat(parent, OsStr::from_bytes(name), kind, Mode::from_raw_mode(mode & 0o7777), device)?;
    give(server, head, name, Some(mode))
}

pub fn make_directory(server: &mut Server, head: &Head, mut input: Input<'_>) -> Outcome {
    let mode = input.u32()?;
    input.skip(4)?;
    let name = input.name()?;
    rustix::fs::mkdirat(server.tree.get(head.node)?, OsStr::from_bytes(name), Mode::from_raw_mode(mode & 0o7777))?;
    give(server, head, name, None)
}

/// What was made becomes the asker's; its entry.
fn give(server: &mut Server, head: &Head, name: &[u8], mode: Option<u32>) -> Outcome {
    let output = entry(server, head.node, name)?;
    let number = output.0.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    own(server, head, number, mode)?;
    // As it is now. The number given above is the one that counts.
    let again = entry(server, head.node, name)?;
    server.tree.forget(number, 1);
    Ok(again)
}

/// Gives a new file to the asker; the group is the directory's where that says so (set-group-ID).
pub fn own(server: &Server, head: &Head, number: u64, mode: Option<u32>) -> Result<(), Errno> {
    let inherits = facts(server.tree.get(head.node)?)?.stx_mode & 0o2000 != 0;
    let node = server.tree.get(number)?;
    let now = facts(node.as_fd())?;
    let gid = if !inherits && now.stx_gid != head.gid { Some(group(head.gid)?) } else { None };
    let uid = if now.stx_uid != head.uid { Some(user(head.uid)?) } else { None };
    if uid.is_some() || gid.is_some() {
        rustix::fs::chownat(node, "", uid, gid, AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW)?;
        // A change of the owner took set-id bits away.
        if let Some(mode) = mode.filter(|mode| mode & 0o6000 != 0) {
            change_mode(node, &server.tree.path(number)?, mode)?;
        }
    }
    Ok(())
}

pub fn remove(server: &mut Server, head: &Head, mut input: Input<'_>, directory: bool) -> Outcome {
    let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
    rustix::fs::unlinkat(server.tree.get(head.node)?, OsStr::from_bytes(input.name()?), flags)?;
    Ok(Output::default())
}

pub fn rename(server: &mut Server, head: &Head, mut input: Input<'_>, with_flags: bool) -> Outcome {
    let target = input.u64()?;
    let mut flags = RenameFlags::empty();
    if with_flags {
        // A whiteout is a device, which the kernel refuses here.
        flags = RenameFlags::from_bits(input.u32()?).ok_or(Errno::INVAL)?;
        input.skip(4)?;
    }
    let (old, new) = (input.name()?, input.name()?);
    let (from, to) = (server.tree.get(head.node)?, server.tree.get(target)?);
    rustix::fs::renameat_with(from, OsStr::from_bytes(old), to, OsStr::from_bytes(new), flags)?;
    Ok(Output::default())
}

pub fn link(server: &mut Server, head: &Head, mut input: Input<'_>) -> Outcome {
    let old = input.u64()?;
    let name = input.name()?;
    let (path, parent) = (server.tree.path(old)?, server.tree.get(head.node)?);
    rustix::fs::linkat(rustix::fs::CWD, path, parent, OsStr::from_bytes(name), AtFlags::SYMLINK_FOLLOW)?;
    entry(server, head.node, name)
}

/// Flags with which a file's contents may be opened: those that only the guest's kernel understands are left out.
pub fn open_flags(flags: u32) -> OFlags {
    let allowed = OFlags::ACCMODE | OFlags::APPEND | OFlags::TRUNC | OFlags::SYNC | OFlags::DSYNC | OFlags::NOATIME;
    OFlags::from_bits_retain(flags) & allowed
}
