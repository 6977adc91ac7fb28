//! Contents of regular files.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use rustix::{
    fs::{FallocateFlags, Mode, OFlags, SeekFrom},
    io::Errno,
};

use super::{
    attribute::put_entry,
    entry::{open_flags, own},
};
use crate::{
    abi::{DATA_MAX, Head, Input, Output},
    server::{Outcome, Server},
};

pub fn open(server: &mut Server, head: &Head, mut input: Input<'_>) -> Outcome {
    let flags = input.u32()?;
    let file = match server.tree.open(head.node, open_flags(flags)) {
        // Not the owner's, and no reason to refuse the rest.
        Err(Errno::PERM) => server.tree.open(head.node, open_flags(flags) - OFlags::NOATIME)?,
        other => other?,
    };
    let handle = server.keep(file)?;
    let mut output = Output::default();
    output.u64(handle).u32(0).u32(0);
    Ok(output)
}

pub fn create(server: &mut Server, head: &Head, mut input: Input<'_>) -> Outcome {
    let (flags, mode) = (input.u32()?, input.u32()?);
    input.skip(8)?;
    let name = input.name()?;
    let exclusive = OFlags::from_bits_retain(flags).contains(OFlags::EXCL);
    let made = rustix::fs::openat(
        server.tree.get(head.node)?,
        OsStr::from_bytes(name),
        OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK,
        Mode::from_raw_mode(mode & 0o7777),
    );
    let is_new = match made {
        Ok(_) => true,
        Err(Errno::EXIST) if !exclusive => false,
        Err(errno) => return Err(errno),
    };
    let (number, _) = server.tree.look_up(head.node, name)?;
    let opened = finish(server, head, number, mode, is_new, open_flags(flags));
    match opened {
        Ok((handle, facts)) => {
            let mut output = Output::default();
            put_entry(server, &mut output, number, &facts);
            output.u64(handle).u32(0).u32(0);
            Ok(output)
        }
        Err(errno) => {
            server.tree.forget(number, 1);
            Err(errno)
        }
    }
}

fn finish(
    server: &mut Server,
    head: &Head,
    number: u64,
    mode: u32,
    is_new: bool,
    flags: OFlags,
) -> Result<(u64, rustix::fs::Statx), Errno> {
    if is_new {
        own(server, head, number, Some(mode))?;
    }
    let file = server.tree.open(number, flags)?;
    let facts = crate::tree::facts(server.tree.get(number)?)?;
    Ok((server.keep(file)?, facts))
}

pub fn read(server: &mut Server, mut input: Input<'_>, room: usize) -> Outcome {
    let (handle, offset, size) = (input.u64()?, input.u64()?, input.u32()? as usize);
    let mut bytes = vec![0; size.min(room).min(DATA_MAX)];
    let mut len = 0;
    while len < bytes.len() {
        let at = offset.checked_add(len as u64).ok_or(Errno::INVAL)?;
        match rustix::io::pread(server.handle(handle)?, &mut bytes[len..], at) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(Errno::INTR) => {}
            Err(errno) if len == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    bytes.truncate(len);
    Ok(Output(bytes))
}

pub fn write(server: &mut Server, mut input: Input<'_>) -> Outcome {
    let (handle, offset, size) = (input.u64()?, input.u64()?, input.u32()? as usize);
    input.skip(20)?;
    let bytes = input.0.get(..size).ok_or(Errno::INVAL)?;
    let mut len = 0;
    while len < size {
        let at = offset.checked_add(len as u64).ok_or(Errno::FBIG)?;
        match rustix::io::pwrite(server.handle(handle)?, &bytes[len..], at) {
            Ok(written) => len += written,
            Err(Errno::INTR) => {}
            Err(errno) if len == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(count(len))
}

/// `struct fuse_write_out`.
fn count(len: usize) -> Output {
    let mut output = Output::default();
    output.u32(len as u32).u32(0);
    output
}

pub fn allocate(server: &mut Server, mut input: Input<'_>) -> Outcome {
    let (handle, offset, length, mode) = (input.u64()?, input.u64()?, input.u64()?, input.u32()?);
    let mode = FallocateFlags::from_bits(mode).ok_or(Errno::OPNOTSUPP)?;
    rustix::fs::fallocate(server.handle(handle)?, mode, offset, length)?;
    Ok(Output::default())
}

pub fn seek(server: &mut Server, mut input: Input<'_>) -> Outcome {
    let (handle, offset, whence) = (input.u64()?, input.u64()?, input.u32()?);
    let from = match whence as i32 {
        libc::SEEK_DATA => SeekFrom::Data(offset),
        libc::SEEK_HOLE => SeekFrom::Hole(offset),
        _ => return Err(Errno::INVAL),
    };
    let found = rustix::fs::seek(server.handle(handle)?, from)?;
    let mut output = Output::default();
    output.u64(found);
    Ok(output)
}

pub fn copy(server: &mut Server, mut input: Input<'_>) -> Outcome {
    let (from, mut from_offset) = (input.u64()?, input.u64()?);
    input.skip(8)?;
    let (to, mut to_offset, len) = (input.u64()?, input.u64()?, input.u64()?);
    // A copy is one request: a whole disk's would keep everybody else waiting.
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(16 * DATA_MAX);
    let (from, to) = (server.handle(from)?, server.handle(to)?);
    let copied = rustix::fs::copy_file_range(from, Some(&mut from_offset), to, Some(&mut to_offset), len)?;
    Ok(count(copied))
}

pub fn sync(server: &mut Server, mut input: Input<'_>) -> Outcome {
    const DATA_ONLY: u32 = 1;
    let (handle, flags) = (input.u64()?, input.u32()?);
    let file = server.handle(handle)?;
    if flags & DATA_ONLY == 0 {
        rustix::fs::fsync(file)?
    } else {
        rustix::fs::fdatasync(file)?
    }
    Ok(Output::default())
}

pub fn sync_all(server: &mut Server, head: &Head) -> Outcome {
    rustix::fs::syncfs(server.tree.open_directory(head.node)?)?;
    Ok(Output::default())
}
