//! Compression of archives: recognised by their first bytes, undone in this process, stopped when they explode.

use std::{
    io::{self, BufRead, BufReader, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{BUFFER_BYTES, Error, Result};

/// How an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// A stream may grow to this many bytes whatever its ratio.
pub const EXPANSION_FREE_BYTES: u64 = 1 << 30;
/// Above [`EXPANSION_FREE_BYTES`], a stream may be at most this many times its compressed size.
pub const EXPANSION_RATIO: u64 = 200;

/// The compression of a stream, by its first bytes; none are consumed.
///
/// # Errors
/// [`Error::Read`] when the stream fails, [`Error::Compression`] for bzip2 and xz.
pub fn detect(reader: &mut impl BufRead) -> Result<Compression> {
    let head = reader.fill_buf().map_err(Error::read)?;
    of_head(head)
}

/// As [`detect`], from the first bytes themselves (at least 6 where the stream has them).
///
/// # Errors
/// [`Error::Compression`] for bzip2 and xz.
pub fn of_head(head: &[u8]) -> Result<Compression> {
    const SKIPPABLE_FRAME: &[u8] = &[0x2a, 0x4d, 0x18];
    match head {
        [0x1f, 0x8b, 0x08, ..] => Ok(Compression::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Compression::Zstd),
        [0x50..=0x5f, rest @ ..] if rest.starts_with(SKIPPABLE_FRAME) => Ok(Compression::Zstd),
        [b'B', b'Z', b'h', ..] => Err(Error::Compression("bzip2")),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(Error::Compression("xz")),
        _ => Ok(Compression::None),
    }
}

/// The uncompressed bytes of `reader`, whatever its compression; gzip members and zstd frames may follow one another.
/// Reading fails with [`Error::Limit`] inside when the stream grows out of proportion.
///
/// # Errors
/// As for [`detect`].
pub fn decoder<'a>(reader: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
    let taken = Arc::new(AtomicU64::new(0));
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, Taken { inner: reader, bytes: Arc::clone(&taken) });
    let inner: Box<dyn Read + Send + 'a> = match detect(&mut reader)? {
        Compression::None => return Ok(Box::new(reader)),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(reader)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(reader).map_err(Error::read)?),
    };
    Ok(Box::new(Expansion { inner, taken, given: 0 }))
}

/// A writer that compresses with zstd at `level`; call `finish` on it.
///
/// # Errors
/// [`Error::Write`] when the encoder cannot be made.
pub fn zstd_encoder<W: io::Write>(writer: W, level: i32) -> Result<zstd::stream::write::Encoder<'static, W>> {
    zstd::stream::write::Encoder::new(writer, level).map_err(|source| Error::Write { source })
}

/// A writer that compresses with gzip at `level` (0 to 9); call `finish` on it. Equal bytes come out equal.
pub fn gzip_encoder<W: io::Write>(writer: W, level: u32) -> flate2::write::GzEncoder<W> {
    flate2::write::GzEncoder::new(writer, flate2::Compression::new(level))
}

/// Counts the compressed bytes that were taken.
struct Taken<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Taken<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.bytes.fetch_add(length as u64, Ordering::Relaxed);
        Ok(length)
    }
}

/// Stops a stream that grows out of proportion to what was taken for it.
struct Expansion<R> {
    inner: R,
    taken: Arc<AtomicU64>,
    given: u64,
}

impl<R: Read> Read for Expansion<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.given += length as u64;
        let allowed = self.taken.load(Ordering::Relaxed).saturating_mul(EXPANSION_RATIO).max(EXPANSION_FREE_BYTES);
        if self.given > allowed {
            let error = Error::Limit { what: "bytes after decompression of so small a stream", limit: allowed };
            return Err(io::Error::other(error));
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        decoder(bytes)?.read_to_end(&mut out).map_err(Error::read)?;
        Ok(out)
    }

    #[test]
    fn each_compression_is_recognised_and_undone() {
        let two_members = [gzip(b"he"), gzip(b"llo")].concat();
        assert_eq!(read(&two_members).unwrap(), b"hello");
        assert_eq!(read(&zstd::encode_all(&b"hello"[..], 1).unwrap()).unwrap(), b"hello");
        assert_eq!(read(b"hello").unwrap(), b"hello");
        assert_eq!(read(b"").unwrap(), b"");
        assert!(matches!(read(b"BZh91AY"), Err(Error::Compression("bzip2"))));
        assert!(matches!(read(b"\xfd7zXZ\0\0"), Err(Error::Compression("xz"))));
    }

    #[test]
    fn a_truncated_stream_is_an_error() {
        let whole = gzip(&[7; 100_000]);
        assert!(read(&whole[..whole.len() - 9]).is_err());
    }

    #[test]
    fn a_bomb_stops_at_the_stated_size() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        let zeros = vec![0; 1 << 20];
        for _ in 0..1500 {
            encoder.write_all(&zeros).unwrap();
        }
        let bomb = encoder.finish().unwrap();
        let outcome = io::copy(&mut decoder(&bomb[..]).unwrap(), &mut io::sink()).map_err(Error::read);
        assert!(matches!(outcome, Err(Error::Limit { limit: EXPANSION_FREE_BYTES, .. })), "{outcome:?}");
    }
}
