//! Reads a tar stream one entry at a time, with bounded memory whatever the headers claim.

use std::io::{self, BufRead, BufReader, Read};

use super::{
    BLOCK_BYTES, Entry, Kind,
    extension::{Extension, SparseKeys, decimal},
    format::{self, Block},
    sparse::{self, Map, Piece},
};
use crate::{BUFFER_BYTES, Error, Result};

/// Most bytes of extended headers and long names for one entry.
const METADATA_BYTES_MAX: u64 = 1 << 20;
/// Most extension headers before one entry.
const EXTENSIONS_MAX: u32 = 16;

/// A piece of the contents of the current entry.
#[derive(Debug, PartialEq, Eq)]
pub enum Run<'a> {
    /// These bytes come next.
    Data(&'a [u8]),
    /// So many zero bytes come next, which were not stored.
    Hole(u64),
}

/// A reader of tar streams.
pub struct Reader<R> {
    input: BufReader<R>,
    /// Bytes taken from the stream.
    offset: u64,
    /// Stored bytes of the current entry that were not read yet.
    stored: u64,
    /// Bytes that fill up its last block.
    padding: u64,
    /// Bytes of the input's buffer that the last run showed.
    lent: usize,
    /// For a file with holes: what is left of it, last piece first.
    pieces: Option<Vec<Piece>>,
    position: u64,
    size: u64,
    done: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the archive in `input`, which is not compressed.
    pub fn new(input: R) -> Self {
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        Self { input, offset: 0, stored: 0, padding: 0, lent: 0, pieces: None, position: 0, size: 0, done: false }
    }

    /// The next entry; what is left of the current one is skipped. `None` at the end of the archive.
    ///
    /// # Errors
    /// [`Error::Format`], [`Error::Limit`] for oversized metadata, [`Error::Read`].
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        let mut extension = Extension::default();
        for _ in 0..EXTENSIONS_MAX {
            let Some(block) = self.header()? else { return Ok(None) };
            let size = self.number(&block, format::SIZE, "size")?;
            match block[format::TYPE] {
                b'L' => extension.path = Some(self.long_name(size)?),
                b'K' => extension.link = Some(self.long_name(size)?),
                b'x' | b'X' => self.pax_header(size, &mut extension)?,
                // Defaults for all later entries, and a volume's label: nothing in them matters to a layer.
                b'g' | b'V' => drop(self.metadata(size)?),
                _ => return self.entry(&block, size, extension).map(Some),
            }
        }
        Err(Error::Limit { what: "extension headers for one entry", limit: EXTENSIONS_MAX.into() })
    }

    /// The next piece of the current entry's contents, at most a buffer long; `None` at its end.
    ///
    /// # Errors
    /// [`Error::Read`], also when the stream ends too early.
    pub fn run(&mut self) -> Result<Option<Run<'_>>> {
        self.settle();
        let mut longest = self.stored;
        if let Some(pieces) = &mut self.pieces {
            let next = pieces.last().map_or(self.size, |piece| piece.offset);
            if next > self.position {
                let hole = next - self.position;
                self.position = next;
                return Ok(Some(Run::Hole(hole)));
            }
            let Some(piece) = pieces.last_mut() else { return Ok(None) };
            longest = piece.length;
        }
        if longest == 0 {
            if self.pieces.as_mut().and_then(Vec::pop).is_some() {
                return self.run();
            }
            return Ok(None);
        }
        let buffer = self.input.fill_buf().map_err(Error::read)?;
        if buffer.is_empty() {
            return Err(Error::read(io::ErrorKind::UnexpectedEof.into()));
        }
        let length = buffer.len().min(usize::try_from(longest).unwrap_or(usize::MAX));
        self.lent = length;
        Ok(Some(Run::Data(&buffer[..length])))
    }

    /// Reads to the end of the stream, past the archive's end.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn drain(mut self) -> Result<R> {
        self.settle();
        io::copy(&mut self.input, &mut io::sink()).map_err(Error::read)?;
        Ok(self.input.into_inner())
    }

    /// Takes what the last run showed.
    fn settle(&mut self) {
        let lent = std::mem::take(&mut self.lent);
        self.take(lent);
    }

    fn take(&mut self, length: usize) {
        if length == 0 {
            return;
        }
        self.input.consume(length);
        self.offset += length as u64;
        self.stored -= length as u64;
        self.position += length as u64;
        if let Some(piece) = self.pieces.as_mut().and_then(|pieces| pieces.last_mut()) {
            piece.offset += length as u64;
            piece.length -= length as u64;
        }
    }

    /// The next header that is not part of the end, with its checksum proven.
    fn header(&mut self) -> Result<Option<Block>> {
        self.settle();
        self.skip(self.stored + self.padding)?;
        (self.stored, self.padding, self.pieces, self.position) = (0, 0, None, 0);
        if self.done || self.input.fill_buf().map_err(Error::read)?.is_empty() {
            return Ok(None);
        }
        let block = self.block()?;
        if block.iter().all(|byte| *byte == 0) {
            self.done = true;
            return Ok(None);
        }
        let stated = self.field(&block, format::CHECKSUM, "checksum")?;
        if stated != format::checksum(&block) && stated != format::signed_checksum(&block) {
            return Err(self.malformed("wrong header checksum"));
        }
        Ok(Some(block))
    }

    fn block(&mut self) -> Result<Block> {
        let mut block = [0; BLOCK_BYTES];
        self.input.read_exact(&mut block).map_err(Error::read)?;
        self.offset += BLOCK_BYTES as u64;
        Ok(block)
    }

    fn skip(&mut self, mut bytes: u64) -> Result<()> {
        while bytes > 0 {
            let available = self.input.fill_buf().map_err(Error::read)?.len();
            if available == 0 {
                return Err(Error::read(io::ErrorKind::UnexpectedEof.into()));
            }
            let step = available.min(usize::try_from(bytes).unwrap_or(usize::MAX));
            self.input.consume(step);
            self.offset += step as u64;
            bytes -= step as u64;
        }
        Ok(())
    }

    fn entry(&mut self, block: &Block, size: u64, extension: Extension) -> Result<Entry> {
        let kind = self.kind(block)?;
        let stored = if kind == Kind::File { extension.size.unwrap_or(size) } else { 0 };
        let mut entry = Entry {
            path: extension.path.unwrap_or_else(|| path_of(block)),
            link: extension.link.unwrap_or_else(|| format::text(&block[format::LINK]).to_vec()),
            kind,
            mode: (self.number(block, format::MODE, "mode")? & 0o7777) as u32,
            uid: extension.uid.map_or_else(|| self.id(block, format::UID), Ok)?,
            gid: extension.gid.map_or_else(|| self.id(block, format::GID), Ok)?,
            size: stored,
            mtime: extension.mtime.unwrap_or((self.field(block, format::MTIME, "modification time")?, 0)),
            device: (0, 0),
            xattrs: extension.xattrs,
        };
        if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
            let part = |number: u64| u32::try_from(number).map_err(|_| self.malformed("device number too large"));
            entry.device = (
                part(self.number(block, format::MAJOR, "device number")?)?,
                part(self.number(block, format::MINOR, "device number")?)?,
            );
        }
        if kind == Kind::File && entry.path.ends_with(b"/") && block[format::TYPE] != b'S' {
            // V7 archives have no type for directories.
            entry.kind = Kind::Directory;
        }
        self.stored = stored;
        self.padding = self.padding_of(stored)?;
        self.size = stored;
        if block[format::TYPE] == b'S' {
            let map = self.gnu_map(block)?;
            self.begin_sparse(map, &mut entry)?;
        } else if kind == Kind::File {
            self.pax_sparse(extension.sparse, &mut entry)?;
        }
        Ok(entry)
    }

    fn kind(&self, block: &Block) -> Result<Kind> {
        Ok(match block[format::TYPE] {
            0 | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(self.malformed(format!("unknown entry type {:?}", char::from(other)))),
        })
    }

    fn padding_of(&self, size: u64) -> Result<u64> {
        format::padded(size).map(|padded| padded - size).ok_or_else(|| self.malformed("size too large"))
    }

    /// The data of an extension header.
    fn metadata(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > METADATA_BYTES_MAX {
            return Err(Error::Limit { what: "bytes of metadata for one entry", limit: METADATA_BYTES_MAX });
        }
        let mut data = vec![0; usize::try_from(size).unwrap_or(0)];
        self.input.read_exact(&mut data).map_err(Error::read)?;
        self.offset += size;
        self.padding = self.padding_of(size)?;
        Ok(data)
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>> {
        let data = self.metadata(size)?;
        Ok(format::text(&data).to_vec())
    }

    fn pax_header(&mut self, size: u64, extension: &mut Extension) -> Result<()> {
        let data = self.metadata(size)?;
        extension.add_pax(&data).map_err(|reason| self.malformed(reason))
    }

    /// The map in a GNU sparse header and the blocks that continue it.
    fn gnu_map(&mut self, block: &Block) -> Result<Map> {
        let spoiled = || Error::Format { offset: 0, reason: "spoiled sparse map".to_owned() };
        let mut pieces = sparse::gnu_slots(block, 386, 4).ok_or_else(spoiled)?;
        let size = self.number(block, 483..495, "sparse size")?;
        let mut more = block[482] != 0;
        while more {
            let next = self.block()?;
            pieces.extend(sparse::gnu_slots(&next, 0, 21).ok_or_else(spoiled)?);
            if pieces.len() > sparse::PIECES_MAX {
                return Err(Error::Limit { what: "pieces of one sparse file", limit: sparse::PIECES_MAX as u64 });
            }
            more = next[504] != 0;
        }
        Ok(Map { pieces, size })
    }

    fn pax_sparse(&mut self, keys: SparseKeys, entry: &mut Entry) -> Result<()> {
        let numbers = match (keys.major, keys.numbers) {
            (Some(1), _) => self.leading_map()?,
            (_, Some(numbers)) => numbers,
            _ => return Ok(()),
        };
        let pieces = sparse::from_numbers(&numbers).ok_or_else(|| self.malformed("spoiled sparse map"))?;
        let size = keys.size.ok_or_else(|| self.malformed("a sparse file without its size"))?;
        if let Some(name) = keys.name {
            entry.path = name;
        }
        self.begin_sparse(Map { pieces, size }, entry)
    }

    /// The map that PAX form 1.0 puts before the contents: decimal lines, filled up to a whole block.
    fn leading_map(&mut self) -> Result<Vec<u64>> {
        let mut text = Vec::new();
        let mut wanted = None;
        let mut numbers = Vec::new();
        while wanted.is_none_or(|wanted| numbers.len() < wanted) {
            if self.stored < BLOCK_BYTES as u64 {
                return Err(self.malformed("spoiled sparse map"));
            }
            text.extend_from_slice(&self.block()?);
            self.stored -= BLOCK_BYTES as u64;
            let mut lines = text.split_inclusive(|byte| *byte == b'\n').peekable();
            let mut used = 0;
            while let Some(line) = lines.next_if(|line| line.ends_with(b"\n")) {
                if wanted.is_some_and(|wanted| numbers.len() == wanted) {
                    break;
                }
                used += line.len();
                let number = decimal(&line[..line.len() - 1]).ok_or_else(|| self.malformed("spoiled sparse map"))?;
                match wanted {
                    None if number > sparse::PIECES_MAX as u64 => {
                        return Err(Error::Limit {
                            what: "pieces of one sparse file",
                            limit: sparse::PIECES_MAX as u64,
                        });
                    }
                    None => wanted = usize::try_from(number * 2).ok(),
                    Some(_) => numbers.push(number),
                }
            }
            text.drain(..used);
            if text.len() > BLOCK_BYTES {
                return Err(self.malformed("spoiled sparse map"));
            }
        }
        Ok(numbers)
    }

    fn begin_sparse(&mut self, mut map: Map, entry: &mut Entry) -> Result<()> {
        if !map.fits(self.stored) {
            return Err(self.malformed("a sparse map that does not fit its file"));
        }
        (entry.size, self.size) = (map.size, map.size);
        map.pieces.retain(|piece| piece.length > 0);
        map.pieces.reverse();
        self.pieces = Some(map.pieces);
        Ok(())
    }

    fn field(&self, block: &Block, range: std::ops::Range<usize>, what: &str) -> Result<i64> {
        format::number(&block[range]).ok_or_else(|| self.malformed(format!("spoiled {what}")))
    }

    fn number(&self, block: &Block, range: std::ops::Range<usize>, what: &str) -> Result<u64> {
        u64::try_from(self.field(block, range, what)?).map_err(|_| self.malformed(format!("negative {what}")))
    }

    fn id(&self, block: &Block, range: std::ops::Range<usize>) -> Result<u32> {
        let id = self.number(block, range, "user or group id")?;
        u32::try_from(id).map_err(|_| self.malformed("user or group id too large"))
    }

    fn malformed(&self, reason: impl Into<String>) -> Error {
        Error::Format { offset: self.offset.saturating_sub(BLOCK_BYTES as u64), reason: reason.into() }
    }
}

/// Reads the contents of the current entry, holes as zeros.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = buffer.len();
        let (length, hole) = match self.run().map_err(io::Error::other)? {
            None => return Ok(0),
            Some(Run::Data(data)) => {
                let length = data.len().min(limit);
                buffer[..length].copy_from_slice(&data[..length]);
                (length, 0)
            }
            Some(Run::Hole(hole)) => {
                let length = usize::try_from(hole).unwrap_or(usize::MAX).min(limit);
                buffer[..length].fill(0);
                (length, hole)
            }
        };
        if hole == 0 {
            self.lent = length;
        } else {
            // What did not fit is still to come.
            self.position -= hole - length as u64;
        }
        Ok(length)
    }
}

fn path_of(block: &Block) -> Vec<u8> {
    let name = format::text(&block[format::NAME]);
    let prefix = format::text(&block[format::PREFIX]);
    if &block[format::MAGIC.start..format::MAGIC.start + 6] != b"ustar\0" || prefix.is_empty() {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}
