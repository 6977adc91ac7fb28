//! The upper directory of an overlay as an image layer: overlay's whiteouts become `.wh.` names again.

use std::{
    io::Write,
    os::fd::{AsFd, BorrowedFd},
};

use berth_sys::user_namespace::overlay_attribute;
use rustix::{
    fs::{FileType, Stat},
    io::Errno,
};

use super::walk::{self, Packer};
use crate::{Error, IdShift, Result};

/// Writes what `upper` adds to, changes in and removes from the layers below it. Ids on disk are taken as they are.
///
/// # Errors
/// [`Error::Entry`] when something cannot be read, [`Error::Hostile`] when the overlay was mounted with options under
/// which its upper directory does not hold all there is, [`Error::Write`].
pub fn layer<W: Write>(upper: BorrowedFd<'_>, output: W) -> Result<W> {
    let mut packer = Packer::new(output, IdShift::default());
    directory(&mut packer, upper, &mut Vec::new(), 0)?;
    packer.finish()
}

fn directory<W: Write>(packer: &mut Packer<W>, open: BorrowedFd<'_>, path: &mut Vec<u8>, depth: u32) -> Result<()> {
    if depth > walk::DEPTH_MAX {
        return Err(Error::Limit { what: "directories above an entry", limit: walk::DEPTH_MAX.into() });
    }
    let failed = |path: &[u8]| {
        let path = path.to_vec();
        move |errno: Errno| Error::entry("read", &path, errno)
    };
    for name in walk::names(open).map_err(failed(path))? {
        let Some(stat) = walk::stat(open, &name).map_err(failed(path))? else { continue };
        let length = path.len();
        path.extend_from_slice(&name);
        if is_whiteout(&stat) {
            path.truncate(length);
            packer.add_mark([path, &b".wh."[..], &name].concat(), walk::mtime(&stat))?;
            continue;
        }
        refuse_partial(open, &name, path, &stat)?;
        packer.add(open, &name, path, &stat)?;
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            path.push(b'/');
            if walk::has_xattr(open, &name, &overlay_attribute("opaque"), Some(b"y")).map_err(failed(path))? {
                packer.add_mark([path, &b".wh..wh..opq"[..]].concat(), walk::mtime(&stat))?;
            }
            let below = walk::open_directory(open, &name).map_err(failed(path))?;
            directory(packer, below.as_fd(), path, depth + 1)?;
        }
        path.truncate(length);
    }
    Ok(())
}

/// Overlay's features `redirect_dir` and `metacopy` leave names or contents in the layers below.
fn refuse_partial(open: BorrowedFd<'_>, name: &[u8], path: &[u8], stat: &Stat) -> Result<()> {
    let key = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => overlay_attribute("redirect"),
        FileType::RegularFile => overlay_attribute("metacopy"),
        _ => return Ok(()),
    };
    match walk::has_xattr(open, name, &key, None) {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::hostile(path, "it was made by an overlay with redirect_dir or metacopy")),
        Err(errno) => Err(Error::entry("read", path, errno)),
    }
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}
