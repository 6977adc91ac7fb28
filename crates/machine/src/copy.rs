//! Files of disks copied: by sharing their blocks where the file system can, otherwise only what is not zero.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use rustix::fs::{SeekFrom, seek};

use crate::{Error, Result};

const BUFFER_BYTES: usize = 1 << 20;

/// Whether all bytes are zero.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// A new file that nobody else reads; it must not be there.
///
/// # Errors
/// [`Error::File`].
pub fn create(path: &Path) -> Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path).map_err(Error::file("make", path))
}

/// Opens a regular file or a block device to be read.
///
/// # Errors
/// [`Error::File`], [`Error::Invalid`] for anything else.
pub fn open(path: &Path) -> Result<File> {
    use std::os::unix::fs::FileTypeExt as _;
    // A pipe must not be waited for.
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(Error::file("open", path))?;
    let kind = file.metadata().map_err(Error::file("look at", path))?.file_type();
    if kind.is_file() || kind.is_block_device() {
        return Ok(file);
    }
    Err(Error::invalid(format!("{} is neither a file nor a block device", path.display())))
}

/// Refuses what is no regular file: a monitor's jail has no devices but those that every monitor needs.
///
/// # Errors
/// [`Error::File`], [`Error::Invalid`].
pub fn require_file(path: &Path) -> Result<()> {
    let facts = std::fs::metadata(path).map_err(Error::file("look at", path))?;
    match facts.is_file() {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "{} is no regular file: a machine takes files only; copy a block device with from=",
            path.display()
        ))),
    }
}

/// The size of a file or block device in bytes.
///
/// # Errors
/// [`Error::File`].
pub fn size(file: &File, path: &Path) -> Result<u64> {
    seek(file, SeekFrom::End(0)).map_err(|errno| Error::file("look at", path)(errno.into()))
}

/// Copies a disk into the new file `to`.
///
/// # Errors
/// [`Error::File`]; nothing is left at `to` then.
pub fn disk(from: &Path, to: &Path) -> Result<()> {
    let source = open(from)?;
    let target = create(to)?;
    let filled = fill(&source, &target, size(&source, from)?).and_then(|()| target.sync_all());
    let outcome = filled.map_err(Error::file("write", to));
    if outcome.is_err() {
        // What stays goes with its directory.
        let _ = std::fs::remove_file(to);
    }
    outcome
}

fn fill(source: &File, target: &File, size: u64) -> io::Result<()> {
    if rustix::fs::ioctl_ficlone(target, source).is_ok() {
        return Ok(());
    }
    target.set_len(size)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut at = 0;
    while at < size {
        let Some(start) = next_data(source, at) else { break };
        at = start;
        let wanted = usize::try_from(size - at).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
        let read = source.read_at(&mut buffer[..wanted], at)?;
        if read == 0 {
            break;
        }
        write_sparse(target, &buffer[..read], at)?;
        at += read as u64;
    }
    Ok(())
}

/// Where the next bytes are that are no hole; `None` when there are no more.
fn next_data(source: &File, at: u64) -> Option<u64> {
    match seek(source, SeekFrom::Data(at)) {
        Ok(start) => Some(start),
        Err(rustix::io::Errno::NXIO) => None,
        // A block device has no holes that it tells of.
        Err(_) => Some(at),
    }
}

/// Writes what is not zero, in blocks of 4 KiB, into a file whose length is set.
pub fn write_sparse(target: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    const BLOCK: usize = 4096;
    for (index, block) in bytes.chunks(BLOCK).enumerate() {
        if !is_zero(block) {
            target.write_all_at(block, at + (index * BLOCK) as u64)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn holes_stay_holes_and_nothing_is_overwritten() {
        let dir = tempfile::tempdir().expect("tempdir");
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let file = create(&from).expect("create");
        file.set_len(64 << 20).expect("size");
        file.write_all_at(b"early", 10).expect("write");
        file.write_all_at(b"late", (64 << 20) - 4).expect("write");
        disk(&from, &to).expect("copy");
        let copy = File::open(&to).expect("open");
        assert!(copy.metadata().expect("facts").blocks() * 512 < 4 << 20, "it is sparse");
        assert!(std::fs::read(&from).expect("read") == std::fs::read(&to).expect("read"));
        assert!(disk(&from, &to).is_err(), "what is there stays");
        assert!(open(dir.path()).expect_err("a directory").to_string().contains("neither"));
    }
}
