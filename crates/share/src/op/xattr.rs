//! Extended attributes.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use rustix::{fs::XattrFlags, io::Errno};

use crate::{
    abi::{Head, Input, Output},
    server::{Outcome, Server},
};

/// Linux's own limits (XATTR_SIZE_MAX, XATTR_LIST_MAX), in bytes.
const SIZE_MAX: usize = 64 << 10;

pub fn set(server: &mut Server, head: &Head, mut input: Input<'_>) -> Outcome {
    let (size, flags) = (input.u32()? as usize, input.u32()?);
    let name = input.text()?;
    let value = input.0.get(..size).ok_or(Errno::INVAL)?;
    let flags = XattrFlags::from_bits(flags).ok_or(Errno::INVAL)?;
    rustix::fs::setxattr(server.tree.path(head.node)?, OsStr::from_bytes(name), value, flags)?;
    Ok(Output::default())
}

pub fn get(server: &mut Server, head: &Head, mut input: Input<'_>) -> Outcome {
    let size = input.u32()? as usize;
    input.skip(4)?;
    let (name, path) = (OsStr::from_bytes(input.text()?), server.tree.path(head.node)?);
    sized(size, |buffer| rustix::fs::getxattr(&path, name, buffer))
}

pub fn list(server: &mut Server, head: &Head, mut input: Input<'_>) -> Outcome {
    let size = input.u32()? as usize;
    let path = server.tree.path(head.node)?;
    sized(size, |buffer| rustix::fs::listxattr(&path, buffer))
}

pub fn remove(server: &mut Server, head: &Head, mut input: Input<'_>) -> Outcome {
    rustix::fs::removexattr(server.tree.path(head.node)?, OsStr::from_bytes(input.text()?))?;
    Ok(Output::default())
}

/// The value; its size alone when there is no room for any.
fn sized(size: usize, read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> Outcome {
    if size == 0 {
        let mut output = Output::default();
        output.u32(read(&mut [])? as u32).u32(0);
        return Ok(output);
    }
    let mut value = vec![0; size.min(SIZE_MAX)];
    let len = read(&mut value)?;
    value.truncate(len);
    Ok(Output(value))
}
