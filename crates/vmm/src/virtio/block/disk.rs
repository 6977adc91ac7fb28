//! The file behind a disk: its contents are the disk's, byte for byte.

use std::{fs::File, io, os::fd::AsFd as _};

use rustix::fs::{FallocateFlags, FlockOperation};

use super::{
    super::{Part, transfer},
    bits::SECTOR_BYTES,
};
use crate::{Error, Result, config, memory::Memory};

/// See the module.
#[derive(Debug)]
pub struct Disk {
    file: File,
    sectors: u64,
    pub read_only: bool,
    volatile: bool,
}

impl Disk {
    /// Opens the file, and locks it: a disk that is written has one machine.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn open(of: &config::Disk) -> Result<Self> {
        let file = File::options().read(true).write(!of.read_only).open(&of.path);
        let file = file.map_err(Error::file("open", &of.path))?;
        if !of.read_only {
            let lock = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
            lock.map_err(|errno| Error::file("have alone", &of.path)(errno.into()))?;
        }
        let bytes = io::Seek::seek(&mut &file, io::SeekFrom::End(0)).map_err(Error::file("measure", &of.path))?;
        Ok(Self { file, sectors: bytes / SECTOR_BYTES, read_only: of.read_only, volatile: of.volatile })
    }

    /// Its size in sectors.
    pub const fn sectors(&self) -> u64 {
        self.sectors
    }

    /// The offset of `bytes` at a sector. `None` outside of the disk, and for parts of sectors.
    pub fn offset(&self, sector: u64, bytes: u64) -> Option<u64> {
        let end = sector.checked_add(bytes / SECTOR_BYTES)?;
        (bytes.is_multiple_of(SECTOR_BYTES) && end <= self.sectors).then(|| sector * SECTOR_BYTES)
    }

    pub fn read(&self, memory: &Memory, parts: &[Part], offset: u64) -> io::Result<()> {
        transfer::whole(self.file.as_fd(), memory, parts, transfer::Direction::In(Some(offset)))
    }

    pub fn write(&self, memory: &Memory, parts: &[Part], offset: u64) -> io::Result<()> {
        transfer::whole(self.file.as_fd(), memory, parts, transfer::Direction::Out(Some(offset)))
    }

    /// What was written survives a crash of the host, unless nobody needs it to.
    pub fn flush(&self) -> io::Result<()> {
        if self.volatile { Ok(()) } else { self.file.sync_data() }
    }

    /// A stretch becomes zeros; with `unmap` its blocks are given back too.
    pub fn zero(&self, offset: u64, bytes: u64, unmap: bool) -> io::Result<()> {
        let flags = if unmap { FallocateFlags::PUNCH_HOLE } else { FallocateFlags::ZERO_RANGE };
        rustix::fs::fallocate(&self.file, flags | FallocateFlags::KEEP_SIZE, offset, bytes)?;
        Ok(())
    }
}
