//! The guest's memory: anonymous, shared with another process, or a private copy of a file.

use std::{fs::File, os::fd::AsFd as _, path::Path};

use rustix::fs::{MemfdFlags, SealFlags};
use vm_memory::{
    Address as _, FileOffset, GuestAddress, GuestMemoryBackend as _, GuestMemoryMmap, GuestMemoryRegion as _,
    GuestRegionMmap, MmapRegion,
};

use crate::{Error, Result, layout};

/// Memory as the devices see it.
pub type Memory = GuestMemoryMmap<()>;

/// What stands behind the memory.
#[derive(Debug)]
pub enum Backing {
    /// Pages of this process, made when the guest first touches them.
    Anonymous,
    /// A file of the kernel's, which another process may map too (vhost-user).
    Shared,
    /// Pages of a file until the guest writes to them, then pages of this process: the file never changes.
    CopyOnWrite(File),
}

/// Maps `bytes` of memory.
///
/// # Errors
/// [`Error::Memory`].
pub fn map(bytes: u64, backing: Backing) -> Result<Memory> {
    let ranges = layout::memory(bytes)?;
    let (file, sharing) = match backing {
        Backing::Anonymous => (None, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS),
        Backing::Shared => (Some(shared(bytes)?), libc::MAP_SHARED),
        Backing::CopyOnWrite(file) => (Some(exact(file, bytes)?), libc::MAP_PRIVATE),
    };
    let file = file.map(std::sync::Arc::new);
    let mut regions = Vec::with_capacity(ranges.len());
    let mut offset = 0;
    for (start, len) in ranges {
        let part = file.as_ref().map(|file| FileOffset::from_arc(std::sync::Arc::clone(file), offset));
        let flags = sharing | libc::MAP_NORESERVE;
        let mapping = MmapRegion::build(part, len as usize, libc::PROT_READ | libc::PROT_WRITE, flags);
        let mapping = mapping.map_err(Error::memory)?;
        let region = GuestRegionMmap::new(mapping, GuestAddress(start));
        regions.push(region.ok_or_else(|| Error::Memory("a range ends beyond all addresses".to_owned()))?);
        offset += len;
    }
    Memory::from_regions(regions).map_err(Error::memory)
}

/// Opens the memory of a snapshot.
///
/// # Errors
/// [`Error::File`].
pub fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(Error::file("open", path))
}

fn shared(bytes: u64) -> Result<File> {
    let act = "make shared memory";
    let file = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    let file = file.map_err(Error::errno(act))?;
    rustix::fs::ftruncate(&file, bytes).map_err(Error::errno(act))?;
    // A peer that shortened it would end this process at its next access.
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW).map_err(Error::errno(act))?;
    Ok(File::from(file))
}

/// A mapping beyond the end of its file ends the process that touches it.
fn exact(file: File, bytes: u64) -> Result<File> {
    let found = rustix::fs::fstat(file.as_fd()).map_err(Error::errno("look at the memory's file"))?.st_size;
    if u64::try_from(found) == Ok(bytes) {
        return Ok(file);
    }
    Err(Error::Memory(format!("the file has {found} bytes where {bytes} are needed")))
}

/// Gives whole pages back to the host; what is read there afterwards is zero, or the file's. Ranges that are no memory
/// are passed over: a guest names them.
pub fn discard(memory: &Memory, start: GuestAddress, bytes: u64) -> u64 {
    let mut discarded = 0;
    for region in memory.iter() {
        let (first, last) = (region.start_addr().raw_value(), region.last_addr().raw_value());
        let Some(from) = start.raw_value().max(first).checked_next_multiple_of(layout::PAGE_BYTES) else { continue };
        let end = start.raw_value().saturating_add(bytes).min(last + 1) & !(layout::PAGE_BYTES - 1);
        if from >= end {
            continue;
        }
        let Ok(at) = memory.get_host_address(GuestAddress(from)) else { continue };
        let shared = region.file_offset().is_some() && region.flags() & libc::MAP_SHARED != 0;
        let advice = if shared { libc::MADV_REMOVE } else { libc::MADV_DONTNEED };
        // SAFETY: the range is page-aligned and inside of one mapping that `memory` owns; no reference into guest
        // memory exists anywhere, only volatile accesses, for which any contents are good.
        if unsafe { libc::madvise(at.cast(), (end - from) as usize, advice) } == 0 {
            discarded += end - from;
        }
    }
    discarded
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::Bytes as _;

    const BYTES: u64 = 4 << 20;

    fn file_of(contents: u8) -> File {
        let mut file = tempfile::tempfile().expect("file");
        std::io::Write::write_all(&mut file, &vec![contents; BYTES as usize]).expect("write");
        file
    }

    #[test]
    fn a_file_is_read_and_never_written() {
        let file = file_of(7);
        let memory = map(BYTES, Backing::CopyOnWrite(file.try_clone().expect("clone"))).expect("map");
        let at = GuestAddress(0x1000);
        assert_eq!(memory.read_obj::<u8>(at).expect("read"), 7);
        memory.write_obj(9_u8, at).expect("write");
        assert_eq!(memory.read_obj::<u8>(at).expect("read"), 9);
        let mut byte = [0];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut byte, 0x1000).expect("read file");
        assert_eq!(byte, [7]);
        assert!(map(BYTES * 2, Backing::CopyOnWrite(file)).is_err(), "a short file is refused");
    }

    #[test]
    fn discarded_pages_are_zero_and_hostile_ranges_harmless() {
        for backing in [Backing::Anonymous, Backing::Shared] {
            let memory = map(BYTES, backing).expect("map");
            memory.write_obj(9_u8, GuestAddress(0x2fff)).expect("write");
            memory.write_obj(9_u8, GuestAddress(0x3000)).expect("write");
            assert_eq!(discard(&memory, GuestAddress(0x2800), 0x1800), 0x1000);
            assert_eq!(memory.read_obj::<u8>(GuestAddress(0x2fff)).expect("read"), 9);
            assert_eq!(memory.read_obj::<u8>(GuestAddress(0x3000)).expect("read"), 0);
            for (start, len) in [(u64::MAX, u64::MAX), (BYTES, 4096), (0, 0), (0xfff, 1), (u64::MAX - 8191, 8191)] {
                assert_eq!(discard(&memory, GuestAddress(start), len), 0, "{start:#x}+{len:#x}");
            }
            assert_eq!(discard(&memory, GuestAddress(BYTES - 4096), u64::MAX), 4096);
        }
    }
}
