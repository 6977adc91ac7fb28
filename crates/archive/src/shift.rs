//! The distance between ids in an archive and ids on disk.

/// `on disk = in archive + shift`; the default is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IdShift {
    /// For users.
    pub uid: i64,
    /// For groups.
    pub gid: i64,
}

/// The kernel's id for what cannot be represented (`/proc/sys/kernel/overflowuid`).
const OVERFLOW_ID: u32 = 65534;

impl IdShift {
    /// Ids as they should be on disk.
    #[must_use]
    pub fn to_disk(self, (uid, gid): (u32, u32)) -> (u32, u32) {
        (moved(uid, self.uid), moved(gid, self.gid))
    }

    /// Ids as they should be in an archive.
    #[must_use]
    pub fn to_archive(self, (uid, gid): (u32, u32)) -> (u32, u32) {
        (moved(uid, -self.uid), moved(gid, -self.gid))
    }
}

fn moved(id: u32, by: i64) -> u32 {
    u32::try_from(i64::from(id) + by).ok().filter(|id| *id != u32::MAX).unwrap_or(OVERFLOW_ID)
}
