//! A directory of one tree copied to another place, with everything an archive keeps: the copy goes through one.

use std::{
    io::{BufReader, BufWriter},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
};

use crate::{
    BUFFER_BYTES, Error, IdShift, Result, pack,
    unpack::{Limits, Whiteouts, unpack_layer},
};

/// Copies the contents, owner and mode of the directory `inside` below `root` to the directory `target` of the host.
/// Links in `inside` are followed with `root` as `/`. Where there is no such directory, nothing is copied.
///
/// # Errors
/// As for [`pack::tree`] and [`unpack_layer`].
pub fn tree(root: impl AsFd, inside: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<()> {
    let (root, target) = (root.as_fd(), target.as_ref());
    let inside = Path::new("/").join(inside).join(".");
    match pack::stat_entry(root, &inside) {
        Ok((stat, _)) if FileType::from_raw_mode(stat.st_mode).is_dir() => {}
        Err(Error::Entry { source, .. }) if !is_absence(&source) => {
            return Err(Error::Entry { act: "copy", path: inside.display().to_string(), source });
        }
        _ => return Ok(()),
    }
    let failed = |source: std::io::Error| Error::Entry { act: "copy to", path: target.display().to_string(), source };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target_dir: OwnedFd = rustix::fs::open(target, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
    let (receiver, sender) = std::io::pipe().map_err(failed)?;
    std::thread::scope(|scope| {
        let packing = scope.spawn(move || pack_directory(root, &inside, sender));
        let reader = BufReader::with_capacity(BUFFER_BYTES, receiver);
        let limits = Limits { entries: u64::MAX, total_bytes: u64::MAX, ..Limits::default() };
        let unpacked = unpack_layer(reader, target_dir.as_fd(), &limits, Whiteouts::Plain, IdShift::default());
        match (packing.join(), unpacked) {
            // When unpacking failed, packing failed after it, at the closed pipe.
            (_, Err(error)) => Err(error),
            (Ok(outcome), Ok(_)) => outcome,
            (Err(panic), _) => std::panic::resume_unwind(panic),
        }
    })
}

fn pack_directory(root: BorrowedFd<'_>, inside: &Path, sender: std::io::PipeWriter) -> Result<()> {
    let options = pack::TreeOptions { base: Some(".".to_owned()), ..pack::TreeOptions::default() };
    pack::tree(root, inside, BufWriter::with_capacity(BUFFER_BYTES, sender), &options)?;
    Ok(())
}

fn is_absence(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP))
}
