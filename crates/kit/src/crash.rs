//! Dying on purpose, in debug builds, so that a test can visit every state that a death leaves behind.
//!
//! A point is passed by name of a role: `daemon` at each record write (before and after it), `supervisor` and `init` at
//! each step of a container's life. A process dies without any clean-up
//!
//! - at the n-th record write, where `BERTH_CRASH_AT_WRITE=<n>` (or `<n>:after`) stands in the daemon's environment;
//! - at the n-th point of its role, where the file that it watches says `<role> <n> <word>`: counted from when the line,
//!   whose word makes it another one each time, was first seen. Who dies takes the file away. The daemon finds the
//!   file by `BERTH_CRASH_FILE`, a supervisor by [`watch`].
//!
//! In release builds all of this is nothing.

#[cfg(debug_assertions)]
mod armed {
    use std::{
        path::{Path, PathBuf},
        sync::{
            Mutex, OnceLock, PoisonError,
            atomic::{AtomicU64, Ordering},
        },
    };

    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    static WRITES: AtomicU64 = AtomicU64::new(0);
    /// The line seen last, and the points passed since.
    static SEEN: Mutex<(String, u64)> = Mutex::new((String::new(), 0));

    /// Watches a file; the first one that is named counts.
    pub fn watch(path: &Path) {
        let _ = FILE.set(Some(path.to_owned()));
    }

    pub fn point(role: &str) {
        let Some(path) = FILE.get_or_init(|| std::env::var_os("BERTH_CRASH_FILE").map(PathBuf::from)) else { return };
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        // Behind pivot_root the file is out of reach: the line seen last holds.
        if let Ok(line) = std::fs::read_to_string(path)
            && line != seen.0
        {
            *seen = (line, 0);
        }
        let mut words = seen.0.split_whitespace();
        if words.next() != Some(role) {
            return;
        }
        let number = words.next().and_then(|word| word.parse().ok());
        seen.1 += 1;
        if number == Some(seen.1) {
            let _ = std::fs::remove_file(path);
            std::process::abort();
        }
    }

    /// The record write to die at, and whether after it.
    fn target() -> Option<(u64, bool)> {
        static TARGET: OnceLock<Option<(u64, bool)>> = OnceLock::new();
        *TARGET.get_or_init(|| {
            let text = std::env::var("BERTH_CRASH_AT_WRITE").ok()?;
            let (number, after) = text.split_once(':').map_or((text.as_str(), false), |(n, when)| (n, when == "after"));
            Some((number.parse().ok()?, after))
        })
    }

    pub fn before_write() {
        point("daemon");
        let Some((number, after)) = target() else { return };
        if WRITES.fetch_add(1, Ordering::SeqCst) + 1 == number && !after {
            std::process::abort();
        }
    }

    pub fn after_write() {
        point("daemon");
        let Some((number, after)) = target() else { return };
        if after && WRITES.load(Ordering::SeqCst) == number {
            std::process::abort();
        }
    }
}

#[cfg(not(debug_assertions))]
mod armed {
    pub fn watch(_: &std::path::Path) {}
    pub fn point(_: &str) {}
    pub fn before_write() {}
    pub fn after_write() {}
}

pub use armed::{after_write, before_write, point, watch};
