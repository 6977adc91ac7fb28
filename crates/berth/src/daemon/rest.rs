//! What the daemon does when nothing is asked of it any more: it gives freed memory back to the kernel, and lets go of
//! the pages of its own program, which wait in the page cache for the next request.
//!
//! ```text
//! connection ─► busy ─► no connection for QUIET ─► give back ─► asleep, no timer runs ─► connection …
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

/// How long nobody may have connected before the daemon is at rest.
const QUIET: Duration = Duration::from_secs(1);

/// Counts who connects.
#[derive(Debug, Clone, Default)]
pub struct Activity(Arc<Counted>);

#[derive(Debug, Default)]
struct Counted {
    connections: AtomicU64,
    wake: Notify,
}

impl Activity {
    /// Somebody connected.
    pub fn note(&self) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        self.0.wake.notify_one();
    }

    /// Rests after every busy time; never returns.
    pub async fn rest(self) {
        loop {
            self.0.wake.notified().await;
            self.quiet().await;
            let _ = tokio::task::spawn_blocking(give_back).await;
        }
    }

    async fn quiet(&self) {
        let mut seen = self.0.connections.load(Ordering::Relaxed);
        loop {
            tokio::time::sleep(QUIET).await;
            let now = self.0.connections.load(Ordering::Relaxed);
            if now == seen {
                return;
            }
            seen = now;
        }
    }
}

fn give_back() {
    berth_sys::allocator::trim();
    berth_sys::program::unmap_constant_pages();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn is_quiet_only_after_the_last_connection() {
        let activity = Activity::default();
        activity.note();
        let begun = tokio::time::Instant::now();
        let caller = activity.clone();
        tokio::join!(activity.quiet(), async move {
            tokio::time::sleep(QUIET / 2).await;
            caller.note();
        });
        assert!(begun.elapsed() >= QUIET * 2, "{:?}", begun.elapsed());
    }
}
