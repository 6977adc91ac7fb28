//! Ranges of host ids for user namespaces.
//!
//! Every running container has its own range of 65,536 user and group ids. Ranges lie above those that distributions
//! give to users (subuid(5)) and that systemd gives to its containers (systemd.io, "Users, Groups, UIDs and GIDs").

use std::{collections::BTreeSet, sync::Mutex};

use serde::{Deserialize, Serialize};

/// First host id of the first range.
const FIRST: u32 = 0x7000_0000;
/// Ids in a range.
pub const LEN: u32 = 65_536;
/// Number of ranges: up to the largest id that every file system stores, the last 256 ranges left to machines of their
/// own (`berth_machine`).
const COUNT: u32 = (0x7eff_ffff - FIRST) / LEN;

/// Host ids of one container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// Host id of the container's id 0.
    pub host_base: u32,
    /// How many.
    pub len: u32,
}

/// Which ranges are in use.
#[derive(Debug, Default)]
pub struct IdRanges {
    used: Mutex<BTreeSet<u32>>,
}

impl IdRanges {
    /// A free range, or `None` when all are in use.
    pub fn take(&self) -> Option<IdRange> {
        let mut used = self.lock();
        let index = (0..COUNT).find(|index| !used.contains(index))?;
        used.insert(index);
        Some(IdRange { host_base: FIRST + index * LEN, len: LEN })
    }

    /// Marks the range of a recovered container.
    pub fn claim(&self, range: IdRange) {
        // That of an engine without root is none of these, and all its containers share it.
        if let Some(distance) = range.host_base.checked_sub(FIRST) {
            self.lock().insert(distance / LEN);
        }
    }

    /// Gives a range back.
    pub fn release(&self, range: IdRange) {
        if let Some(distance) = range.host_base.checked_sub(FIRST) {
            self.lock().remove(&(distance / LEN));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<u32>> {
        self.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_do_not_overlap_and_come_back() {
        let ranges = IdRanges::default();
        let (a, b) = (ranges.take().unwrap(), ranges.take().unwrap());
        assert_eq!(a.host_base + a.len, b.host_base);
        ranges.release(a);
        assert_eq!(ranges.take(), Some(a));
        assert!(std::iter::from_fn(|| ranges.take()).count() <= COUNT as usize);
        assert_eq!(ranges.take(), None);
        let shared = IdRange { host_base: 0, len: LEN };
        ranges.claim(shared);
        ranges.release(shared);
        assert_eq!(ranges.take(), None);
    }
}
