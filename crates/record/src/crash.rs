//! Dying on purpose, in debug builds: `BERTH_CRASH_AT_WRITE=<n>` or `<n>:after` ends the process with SIGKILL's
//! suddenness before or after its n-th record write, so that a test can visit every state that a crash can leave.

#[cfg(debug_assertions)]
mod armed {
    use std::sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    };

    static WRITES: AtomicU64 = AtomicU64::new(0);

    /// The write to die at, and whether after it.
    fn target() -> Option<(u64, bool)> {
        static TARGET: OnceLock<Option<(u64, bool)>> = OnceLock::new();
        *TARGET.get_or_init(|| {
            let text = std::env::var("BERTH_CRASH_AT_WRITE").ok()?;
            let (number, after) = text.split_once(':').map_or((text.as_str(), false), |(n, when)| (n, when == "after"));
            Some((number.parse().ok()?, after))
        })
    }

    pub fn before() {
        let Some((number, after)) = target() else { return };
        if WRITES.fetch_add(1, Ordering::SeqCst) + 1 == number && !after {
            std::process::abort();
        }
    }

    pub fn after() {
        let Some((number, after)) = target() else { return };
        if after && WRITES.load(Ordering::SeqCst) == number {
            std::process::abort();
        }
    }
}

#[cfg(not(debug_assertions))]
mod armed {
    pub fn before() {}
    pub fn after() {}
}

pub use armed::{after, before};
