//! Writes tar streams: ustar headers, with PAX records for what does not fit in them.

use std::io::{self, Read, Write};

use super::{
    BLOCK_BYTES, Entry, Kind,
    format::{self, Block},
    pax,
};
use crate::{BUFFER_BYTES, Error, Result};

/// A writer of tar streams. The same entries always give the same bytes.
pub struct Writer<W> {
    output: W,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Writes to `output`, which should be buffered.
    pub fn new(output: W) -> Self {
        Self { output, buffer: vec![0; BUFFER_BYTES] }
    }

    /// Writes an entry and, for files, `entry.size` bytes of `contents`: zeros stand in for what is missing, and what
    /// is more is left out, as a file may change while it is read.
    ///
    /// # Errors
    /// [`Error::Write`], or [`Error::Entry`] when the contents cannot be read.
    pub fn append(&mut self, entry: &Entry, contents: &mut dyn Read) -> Result<()> {
        self.header(entry)?;
        if entry.kind != Kind::File {
            return Ok(());
        }
        let mut left = entry.size;
        while left > 0 {
            let want = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let length = match contents.read(&mut self.buffer[..want]) {
                Ok(0) => {
                    self.buffer[..want].fill(0);
                    want
                }
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Error::entry("read", &entry.path, error)),
            };
            self.output.write_all(&self.buffer[..length]).map_err(failed)?;
            left -= length as u64;
        }
        self.fill_block(entry.size)
    }

    /// Writes the end of the archive and gives back the output, flushed.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn finish(mut self) -> Result<W> {
        self.output.write_all(&[0; 2 * BLOCK_BYTES]).map_err(failed)?;
        self.output.flush().map_err(failed)?;
        Ok(self.output)
    }

    /// Writes the header and what does not fit in it.
    ///
    /// # Errors
    /// [`Error::Write`].
    fn header(&mut self, entry: &Entry) -> Result<()> {
        let mut records = Vec::new();
        let block = header_block(entry, &mut records);
        for (name, value) in &entry.xattrs {
            pax::push(&mut records, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
        }
        if !records.is_empty() {
            let mut extension = Entry::new(b"PaxHeaders.0/entry".as_slice(), Kind::File);
            extension.size = records.len() as u64;
            let mut block = header_block(&extension, &mut Vec::new());
            block[format::TYPE] = b'x';
            seal(&mut block);
            self.output.write_all(&block).map_err(failed)?;
            self.output.write_all(&records).map_err(failed)?;
            self.fill_block(extension.size)?;
        }
        self.output.write_all(&block).map_err(failed)
    }

    fn fill_block(&mut self, size: u64) -> Result<()> {
        let rest = usize::try_from(size % BLOCK_BYTES as u64).unwrap_or(0);
        if rest == 0 { Ok(()) } else { self.output.write_all(&[0; BLOCK_BYTES][rest..]).map_err(failed) }
    }
}

/// The header of `entry`; what does not fit goes to `records`.
fn header_block(entry: &Entry, records: &mut Vec<u8>) -> Block {
    let mut block = [0; BLOCK_BYTES];
    let mut text = |range: std::ops::Range<usize>, key: &[u8], value: &[u8], records: &mut Vec<u8>| {
        let fitting = value.len().min(range.len());
        block[range.start..range.start + fitting].copy_from_slice(&value[..fitting]);
        if value.len() > range.len() || !value.is_ascii() {
            pax::push(records, key, value);
        }
    };
    text(format::NAME, b"path", &entry.path, records);
    text(format::LINK, b"linkpath", &entry.link, records);
    format::put_octal(&mut block[format::MODE], entry.mode.into());
    let size = if entry.kind == Kind::File { entry.size } else { 0 };
    for (range, key, value) in [
        (format::UID, &b"uid"[..], u64::from(entry.uid)),
        (format::GID, b"gid", u64::from(entry.gid)),
        (format::SIZE, b"size", size),
    ] {
        if !format::put_octal(&mut block[range.clone()], value) {
            format::put_octal(&mut block[range], 0);
            pax::push(records, key, value.to_string().as_bytes());
        }
    }
    let whole_seconds = u64::try_from(entry.mtime.0).unwrap_or(0);
    let fits = format::put_octal(&mut block[format::MTIME], whole_seconds);
    if !fits || entry.mtime.1 != 0 || entry.mtime.0 < 0 {
        pax::push(records, b"mtime", pax::time_text(entry.mtime).as_bytes());
    }
    block[format::TYPE] = match entry.kind {
        Kind::File => b'0',
        Kind::HardLink => b'1',
        Kind::Symlink => b'2',
        Kind::CharDevice => b'3',
        Kind::BlockDevice => b'4',
        Kind::Directory => b'5',
        Kind::Fifo => b'6',
    };
    block[format::MAGIC].copy_from_slice(format::USTAR);
    format::put_octal(&mut block[format::MAJOR], entry.device.0.into());
    format::put_octal(&mut block[format::MINOR], entry.device.1.into());
    seal(&mut block);
    block
}

/// Writes the checksum.
fn seal(block: &mut Block) {
    let sum = format::checksum(block);
    let field = &mut block[format::CHECKSUM];
    field.copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

fn failed(source: io::Error) -> Error {
    Error::Write { source }
}
