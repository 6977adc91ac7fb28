//! Entries of directories, read.

use std::mem::MaybeUninit;

use rustix::{
    fs::{FileType, RawDir, SeekFrom},
    io::Errno,
};

use super::attribute::put_entry;
use crate::{
    abi::{DATA_MAX, Head, Input, Output},
    server::{Outcome, Server},
};

/// How much is asked of the kernel at a time, in bytes.
const BUFFER_BYTES: usize = 32 << 10;
/// Bytes of `struct fuse_entry_out`, and of `struct fuse_dirent` without its name.
const ENTRY_BYTES: usize = 128;
const HEAD_BYTES: usize = 24;

/// An entry as the kernel gave it.
struct Found {
    ino: u64,
    next: u64,
    kind: FileType,
    name: Vec<u8>,
}

pub fn open(server: &mut Server, head: &Head) -> Outcome {
    let directory = server.tree.open_directory(head.node)?;
    let handle = server.keep(directory)?;
    let mut output = Output::default();
    output.u64(handle).u32(0).u32(0);
    Ok(output)
}

pub fn read(server: &mut Server, head: &Head, mut input: Input<'_>, room: usize, plus: bool) -> Outcome {
    let (handle, offset, size) = (input.u64()?, input.u64()?, input.u32()? as usize);
    let room = size.min(room).min(DATA_MAX);
    let mut output = Output::default();
    for found in list(server, handle, offset, room)? {
        let len = HEAD_BYTES + found.name.len();
        let padded = len.next_multiple_of(8);
        if output.0.len() + padded + if plus { ENTRY_BYTES } else { 0 } > room {
            break;
        }
        if plus {
            let itself = matches!(found.name.as_slice(), b"." | b"..");
            match if itself { Err(Errno::INVAL) } else { server.tree.look_up(head.node, &found.name) } {
                Ok((number, facts)) => put_entry(server, &mut output, number, &facts),
                // Number 0: the guest is told the name, and looks it up itself if it wants to know.
                Err(_) => output.0.extend_from_slice(&[0; ENTRY_BYTES]),
            }
        }
        output.u64(found.ino).u64(found.next).u32(found.name.len() as u32).u32(kind(found.kind));
        output.0.extend_from_slice(&found.name);
        output.0.resize(output.0.len() + padded - len, 0);
    }
    Ok(output)
}

/// Entries from `offset` on, about as many as fit into `room` bytes.
fn list(server: &Server, handle: u64, offset: u64, room: usize) -> Result<Vec<Found>, Errno> {
    let directory = server.handle(handle)?;
    rustix::fs::seek(directory, SeekFrom::Start(offset))?;
    let mut buffer = [MaybeUninit::<u8>::uninit(); BUFFER_BYTES];
    let mut entries = RawDir::new(directory, &mut buffer);
    let (mut all, mut bytes) = (Vec::new(), 0);
    while bytes < room {
        let Some(entry) = entries.next() else { break };
        let entry = entry?;
        let name = entry.file_name().to_bytes().to_vec();
        bytes += (HEAD_BYTES + name.len()).next_multiple_of(8);
        all.push(Found { ino: entry.ino(), next: entry.next_entry_cookie(), kind: entry.file_type(), name });
    }
    Ok(all)
}

/// `DT_*` of dirent.h: the type bits of a mode.
fn kind(kind: FileType) -> u32 {
    match kind {
        FileType::Unknown => 0,
        kind => kind.as_raw_mode() >> 12,
    }
}
