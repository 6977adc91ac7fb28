//! What a driver gave a device: a chain of buffers, checked against the guest's memory before anything is done with it.

use virtio_queue::{DescriptorChain, desc::split::Descriptor};
use vm_memory::{GuestAddress, GuestMemoryBackend as _, VolatileSlice};

use super::Fault;
use crate::memory::Memory;

/// A piece of the guest's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Where it is.
    pub at: GuestAddress,
    /// How long it is.
    pub len: u32,
}

/// Buffers that the device reads, then buffers that it writes (virtio 1.2, 2.7.4.2).
#[derive(Debug)]
pub struct Chain {
    /// Its number, by which it is given back.
    pub head: u16,
    readable: Vec<Part>,
    writable: Vec<Part>,
}

impl Chain {
    /// Takes a chain apart.
    pub(super) fn new(memory: &Memory, chain: DescriptorChain<&Memory>) -> Result<Self, Fault> {
        let head = chain.head_index();
        let (mut readable, mut writable) = (Vec::new(), Vec::new());
        let mut expects_more = true;
        for descriptor in chain {
            expects_more = descriptor.has_next();
            let part = checked(memory, &descriptor)?;
            match descriptor.is_write_only() {
                true => writable.push(part),
                false if writable.is_empty() => readable.push(part),
                false => return Err(Fault("a buffer to read behind one to write")),
            }
        }
        if expects_more {
            return Err(Fault("a chain of buffers that has no end, or one outside of the memory"));
        }
        Ok(Self { head, readable, writable })
    }

    /// Bytes that can be read.
    #[must_use]
    pub fn readable_bytes(&self) -> usize {
        total(&self.readable)
    }

    /// Bytes that can be written.
    #[must_use]
    pub fn writable_bytes(&self) -> usize {
        total(&self.writable)
    }

    /// What the device reads, without the first `skip` bytes and at most `len`.
    #[must_use]
    pub fn readable(&self, skip: usize, len: usize) -> Vec<Part> {
        cut(&self.readable, skip, len)
    }

    /// What the device writes, likewise.
    #[must_use]
    pub fn writable(&self, skip: usize, len: usize) -> Vec<Part> {
        cut(&self.writable, skip, len)
    }

    /// Copies from what can be read, `skip` bytes in; how much there was.
    pub fn read(&self, memory: &Memory, skip: usize, into: &mut [u8]) -> usize {
        let mut done = 0;
        for slice in slices(memory, &self.readable(skip, into.len())) {
            slice.copy_to(&mut into[done..done + slice.len()]);
            done += slice.len();
        }
        done
    }

    /// Copies into what can be written, `skip` bytes in; how much went there.
    pub fn write(&self, memory: &Memory, skip: usize, from: &[u8]) -> usize {
        let mut done = 0;
        for slice in slices(memory, &self.writable(skip, from.len())) {
            slice.copy_from(&from[done..done + slice.len()]);
            done += slice.len();
        }
        done
    }
}

/// The memory of parts, which were checked before.
pub fn slices<'a>(memory: &'a Memory, parts: &[Part]) -> Vec<VolatileSlice<'a, ()>> {
    parts.iter().filter_map(|part| memory.get_slice(part.at, part.len as usize).ok()).collect()
}

/// In one stretch of memory: a part across two regions would need two addresses.
fn checked(memory: &Memory, descriptor: &Descriptor) -> Result<Part, Fault> {
    let part = Part { at: descriptor.addr(), len: descriptor.len() };
    match memory.get_slice(part.at, part.len as usize) {
        Ok(_) => Ok(part),
        Err(_) => Err(Fault("a buffer outside of the memory")),
    }
}

fn total(parts: &[Part]) -> usize {
    parts.iter().map(|part| part.len as usize).sum()
}

pub(super) fn cut(parts: &[Part], mut skip: usize, mut len: usize) -> Vec<Part> {
    let mut found = Vec::with_capacity(parts.len());
    for part in parts {
        let from = skip.min(part.len as usize);
        let take = (part.len as usize - from).min(len);
        if take > 0 {
            found.push(Part { at: GuestAddress(part.at.0 + from as u64), len: take as u32 });
        }
        (skip, len) = (skip - from, len - take);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_where_asked() {
        let parts = [(0x1000, 4), (0x2000, 0), (0x3000, 8)].map(|(at, len)| Part { at: GuestAddress(at), len });
        let cut = |skip, len| cut(&parts, skip, len).iter().map(|part| (part.at.0, part.len)).collect::<Vec<_>>();
        assert_eq!(cut(0, 100), [(0x1000, 4), (0x3000, 8)]);
        assert_eq!(cut(2, 4), [(0x1002, 2), (0x3000, 2)]);
        assert_eq!(cut(4, 8), [(0x3000, 8)]);
        assert_eq!(cut(12, 1), []);
        assert_eq!(cut(usize::MAX, usize::MAX), []);
    }

    proptest::proptest! {
        #[test]
        fn a_cut_has_as_many_bytes_as_there_are(lens in proptest::collection::vec(0_u32..100, 0..8), skip in 0_usize..500, len in 0_usize..500) {
            let parts: Vec<Part> = lens.iter().map(|len| Part { at: GuestAddress(0), len: *len }).collect();
            let whole = total(&parts);
            proptest::prop_assert_eq!(total(&cut(&parts, skip, len)), whole.saturating_sub(skip).min(len));
        }
    }
}
