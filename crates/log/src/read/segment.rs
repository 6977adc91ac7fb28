//! One file of a log, plain or compressed, as a sequence of entries.

use std::{
    fs::File,
    io::{self, Read, Seek},
    os::unix::fs::{FileExt, MetadataExt},
};

use flate2::read::MultiGzDecoder;

use super::{Format, Raw};
use crate::{
    json_file::format::{self as json, LINE_BYTES_MAX},
    local::frame::{self, Decoded},
};

/// Read at once, in bytes; more than a whole frame.
const BLOCK_BYTES: usize = 64 * 1024;

/// Device and inode: what makes a file the same under another name.
pub(crate) type Identity = (u64, u64);

enum Source {
    /// Read by offset, so that a growing or mended file is read right.
    Plain(File),
    Compressed(Box<MultiGzDecoder<File>>),
}

pub(crate) struct Segment {
    source: Source,
    identity: Identity,
    format: Format,
    /// Offset in the file behind `buffer`.
    offset: u64,
    buffer: Vec<u8>,
    used: usize,
    /// Within a line that is too long; skipping to its end.
    overlong: bool,
    unread: Option<Raw>,
}

enum Step {
    Entry(Raw, usize),
    Skip(usize),
    More,
}

impl Segment {
    pub fn new(file: File, compressed: bool, format: Format) -> io::Result<Self> {
        let metadata = file.metadata()?;
        let source =
            if compressed { Source::Compressed(Box::new(MultiGzDecoder::new(file))) } else { Source::Plain(file) };
        Ok(Self {
            source,
            identity: (metadata.dev(), metadata.ino()),
            format,
            offset: 0,
            buffer: Vec::new(),
            used: 0,
            overlong: false,
            unread: None,
        })
    }

    pub fn identity(&self) -> Option<Identity> {
        matches!(self.source, Source::Plain(_)).then_some(self.identity)
    }

    /// The plain file, for reading backwards.
    pub fn plain(&self) -> Option<&File> {
        match &self.source {
            Source::Plain(file) => Some(file),
            Source::Compressed(_) => None,
        }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Goes to an offset at which an entry begins (plain files only).
    pub fn seek(&mut self, offset: u64) {
        self.offset = offset;
        self.buffer.clear();
        (self.used, self.overlong, self.unread) = (0, false, None);
    }

    /// Goes to an offset at which an entry begins; compressed files know only the beginning.
    pub fn restart(&mut self, offset: u64) -> io::Result<()> {
        match &mut self.source {
            Source::Plain(_) => self.seek(offset),
            Source::Compressed(decoder) => {
                let mut file = decoder.get_ref().try_clone()?;
                file.rewind()?;
                **decoder = MultiGzDecoder::new(file);
                self.seek(0);
            }
        }
        Ok(())
    }

    /// Gives the entry out again.
    pub fn unread(&mut self, raw: Raw) {
        self.unread = Some(raw);
    }

    /// The next whole entry; `None` where the file ends for now.
    pub fn next_raw(&mut self) -> io::Result<Option<Raw>> {
        if let Some(raw) = self.unread.take() {
            return Ok(Some(raw));
        }
        loop {
            let pending = &self.buffer[self.used..];
            let step = match self.format {
                Format::JsonFile => step_json(pending, &mut self.overlong),
                Format::Local => step_local(pending, self.offset - self.buffer.len() as u64 + self.used as u64),
            };
            match step {
                Step::Entry(raw, len) => {
                    self.used += len;
                    return Ok(Some(raw));
                }
                Step::Skip(len) => self.used += len,
                Step::More => {
                    if !self.fill()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Reads a block behind what is pending. At the end of a plain file the pending bytes are forgotten and read again
    /// next time: a writer started anew may have cut them off.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let kept = self.buffer.len();
        self.buffer.resize(kept + BLOCK_BYTES, 0);
        let outcome = match &mut self.source {
            Source::Plain(file) => file.read_at(&mut self.buffer[kept..], self.offset),
            Source::Compressed(decoder) => decoder.read(&mut self.buffer[kept..]),
        };
        let len = match outcome {
            Ok(len) => len,
            // A compressed file that was cut: what could be read was read.
            Err(_) if matches!(self.source, Source::Compressed(_)) => 0,
            Err(error) => {
                self.buffer.truncate(kept);
                return Err(error);
            }
        };
        self.buffer.truncate(kept + len);
        self.offset += len as u64;
        if len > 0 {
            return Ok(true);
        }
        if let Source::Plain(file) = &self.source {
            self.offset -= kept as u64;
            self.buffer = Vec::new();
            if file.metadata()?.len() < self.offset {
                self.seek(0);
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn step_json(pending: &[u8], overlong: &mut bool) -> Step {
    match pending.iter().position(|byte| *byte == b'\n') {
        Some(_) if *overlong => {
            *overlong = false;
            Step::Skip(pending.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1))
        }
        Some(end) => match json::decode(&pending[..end]) {
            Some(raw) => Step::Entry(raw, end + 1),
            None => Step::Skip(end + 1),
        },
        None if pending.len() > LINE_BYTES_MAX => {
            *overlong = true;
            Step::Skip(pending.len())
        }
        None => Step::More,
    }
}

fn step_local(pending: &[u8], offset: u64) -> Step {
    if offset == 0 {
        return match pending.len() {
            len if len < frame::MAGIC.len() => Step::More,
            _ if pending.starts_with(frame::MAGIC) => Step::Skip(frame::MAGIC.len()),
            _ => Step::Skip(1),
        };
    }
    match frame::decode(pending) {
        Decoded::Frame(entry, len) => {
            let mut bytes = entry.bytes.to_vec();
            if !entry.partial {
                bytes.push(b'\n');
            }
            let (stream, at, ended) = (entry.stream, entry.at, !entry.partial);
            Step::Entry(Raw { stream, at, ended, bytes, attributes: Default::default() }, len)
        }
        Decoded::Short => Step::More,
        Decoded::Broken => Step::Skip(1),
    }
}
