//! An append-only file that is put aside when it is full.
//!
//! ```text
//! path ─full─► path.1 ─► path.2 ─► … ─► path.(max-file − 1) ─► removed
//!                 └─compress─► path.1.gz ─► path.2.gz ─► …
//! ```
//!
//! Whole entries only are written, and a failed write is cut off again, so a file ends within an entry only when the
//! machine or the process died. Compression goes on in slices between writes: the container is not held up by it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};

use crate::{Error, Result, option::Rotation};

/// Entries are collected up to this many bytes before they are written.
const BUFFER_BYTES: usize = 32 * 1024;
/// Compressed in one slice, in bytes.
const SLICE_BYTES: usize = 256 * 1024;

/// What a format needs at the beginning of a file and after a crash.
pub(crate) struct Framing {
    /// Written at the beginning of every file.
    pub magic: &'static [u8],
    /// Makes an existing, non-empty file ready for appending; returns its length in bytes.
    pub mend: fn(&File, u64) -> io::Result<u64>,
}

/// See the module.
pub(crate) struct RotatingFile {
    path: PathBuf,
    file: File,
    size_bytes: u64,
    buffer: Vec<u8>,
    rotation: Rotation,
    framing: Framing,
    squeeze: Option<Squeeze>,
}

impl RotatingFile {
    /// Opens or creates `path` (mode 0640) for appending.
    pub fn open(path: &Path, rotation: Rotation, framing: Framing) -> Result<Self> {
        let fail = |source| Error::Open { path: path.to_owned(), source };
        let file = open_append(path).map_err(fail)?;
        let found_bytes = file.metadata().map_err(fail)?.len();
        let size_bytes = if found_bytes == 0 { 0 } else { (framing.mend)(&file, found_bytes).map_err(fail)? };
        // A compression that a crash cut short begins again; its source is still there.
        let _ = std::fs::remove_file(squeezing(path));
        let mut squeeze = None;
        if rotation.compress && numbered(path, 1, false).exists() {
            squeeze = Squeeze::begin(path).ok();
        }
        Ok(Self { path: path.to_owned(), file, size_bytes, buffer: Vec::new(), rotation, framing, squeeze })
    }

    /// Appends one encoded entry of about `len` bytes, written into the buffer by `encode`.
    pub fn append(&mut self, len: usize, encode: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let mut outcome = Ok(());
        let ahead_bytes = self.size_bytes + self.buffer.len() as u64;
        if self.rotation.max_size_bytes.is_some_and(|max| ahead_bytes >= max) && ahead_bytes > 0 {
            outcome = self.write_out().and_then(|()| self.rotate());
        } else if self.buffer.len() + len > BUFFER_BYTES {
            outcome = self.write_out();
        }
        if self.size_bytes == 0 && self.buffer.is_empty() {
            self.buffer.extend_from_slice(self.framing.magic);
        }
        encode(&mut self.buffer);
        outcome
    }

    /// Writes what was collected, and compresses a slice of the file put aside.
    pub fn flush(&mut self) -> Result<()> {
        let outcome = self.write_out();
        if let Some(squeeze) = &mut self.squeeze
            && squeeze.advance(SLICE_BYTES).unwrap_or(true)
        {
            self.squeeze = None;
        }
        if self.buffer.capacity() > 2 * BUFFER_BYTES {
            self.buffer = Vec::new();
        }
        outcome
    }

    /// Flushes, and gives up a compression under way: whoever opens the log next begins it again.
    pub fn close(&mut self) -> Result<()> {
        let outcome = self.write_out();
        if self.squeeze.take().is_some() {
            let _ = std::fs::remove_file(squeezing(&self.path));
        }
        outcome
    }

    fn finish_squeeze(&mut self) {
        if let Some(mut squeeze) = self.squeeze.take() {
            // Not compressed is no loss: the plain file stays readable.
            let _ = squeeze.advance(usize::MAX);
        }
    }

    fn write_out(&mut self) -> Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let outcome = (&self.file).write_all(&self.buffer);
        let len = self.buffer.len() as u64;
        self.buffer.clear();
        match outcome {
            Ok(()) => {
                self.size_bytes += len;
                Ok(())
            }
            Err(source) => {
                let _ = self.file.set_len(self.size_bytes);
                Err(Error::Write { path: self.path.clone(), source })
            }
        }
    }

    fn rotate(&mut self) -> Result<()> {
        let fail = |source| Error::Rotate { path: self.path.clone(), source };
        if self.rotation.max_file < 2 {
            self.file.set_len(0).map_err(fail)?;
            self.size_bytes = 0;
            return Ok(());
        }
        self.finish_squeeze();
        let fail = |source| Error::Rotate { path: self.path.clone(), source };
        shift(&self.path, self.rotation.max_file).map_err(fail)?;
        self.file = open_append(&self.path).map_err(fail)?;
        self.size_bytes = 0;
        if self.rotation.compress {
            self.squeeze = Squeeze::begin(&self.path).ok();
        }
        Ok(())
    }
}

impl Drop for RotatingFile {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

/// `path.<number>` or `path.<number>.gz`.
pub(crate) fn numbered(path: &Path, number: u32, compressed: bool) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}{}", if compressed { ".gz" } else { "" }));
    name.into()
}

fn squeezing(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1.gz.new");
    name.into()
}

fn open_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).read(true).mode(0o640).open(path)
}

/// Moves every file up by one number; the last goes.
fn shift(path: &Path, max_file: u32) -> io::Result<()> {
    let present = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    for compressed in [false, true] {
        present(std::fs::remove_file(numbered(path, max_file - 1, compressed)))?;
        for number in (1..max_file - 1).rev() {
            present(std::fs::rename(numbered(path, number, compressed), numbered(path, number + 1, compressed)))?;
        }
    }
    present(std::fs::rename(path, numbered(path, 1, false)))
}

/// A compression of `path.1` in slices.
struct Squeeze {
    source: File,
    target: GzEncoder<File>,
    path: PathBuf,
}

impl Squeeze {
    fn begin(path: &Path) -> io::Result<Self> {
        let source = File::open(numbered(path, 1, false))?;
        let target = OpenOptions::new().create(true).truncate(true).write(true).mode(0o640).open(squeezing(path))?;
        Ok(Self { source, target: GzEncoder::new(target, Compression::fast()), path: path.to_owned() })
    }

    /// Compresses up to `limit` bytes more; `Ok(true)` when the compressed file is in place.
    fn advance(&mut self, limit: usize) -> io::Result<bool> {
        let mut block = [0u8; 8192];
        let mut done = 0;
        while done < limit {
            let len = self.source.read(&mut block)?;
            if len == 0 {
                self.target.try_finish()?;
                std::fs::rename(squeezing(&self.path), numbered(&self.path, 1, true))?;
                std::fs::remove_file(numbered(&self.path, 1, false))?;
                return Ok(true);
            }
            self.target.write_all(&block[..len])?;
            done += len;
        }
        Ok(false)
    }
}
