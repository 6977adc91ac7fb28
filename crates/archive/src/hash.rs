//! SHA-256 of what flows by, with the processor's own instructions where it has them.

use std::io::{self, Read, Write};

use berth_spec::Digest;
use ring::digest::{Context, SHA256};

/// Counts and hashes the bytes that pass through a reader or a writer.
pub struct Hashing<T> {
    inner: T,
    hash: Context,
    bytes: u64,
}

impl<T> Hashing<T> {
    /// Wraps `inner`.
    pub fn new(inner: T) -> Self {
        Self { inner, hash: Context::new(&SHA256), bytes: 0 }
    }

    /// Bytes that have passed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What was wrapped, the digest of all bytes that passed, and their number.
    pub fn finish(self) -> (T, Digest, u64) {
        (self.inner, of(&self.hash.finish()), self.bytes)
    }

    /// Counts and hashes bytes that pass by another way.
    pub fn pass(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.pass(&buffer[..length]);
        Ok(length)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.pass(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The digest of `bytes`.
#[must_use]
pub fn digest(bytes: &[u8]) -> Digest {
    of(&ring::digest::digest(&SHA256, bytes))
}

fn of(found: &ring::digest::Digest) -> Digest {
    // SHA-256 has 32 bytes.
    Digest::from_sha256(&found.as_ref().try_into().unwrap_or_default())
}
