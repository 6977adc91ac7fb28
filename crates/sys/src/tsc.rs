//! The processor's time-stamp counter.

use std::time::{Duration, Instant};

/// How fast the counter counts, in kHz, measured against the monotonic clock for `span`.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub fn frequency_khz(span: Duration) -> u64 {
    let start = Instant::now();
    // SAFETY: every processor of this architecture has the instruction.
    let first = unsafe { std::arch::x86_64::_rdtsc() };
    while start.elapsed() < span {
        std::hint::spin_loop();
    }
    // SAFETY: as above.
    let last = unsafe { std::arch::x86_64::_rdtsc() };
    let nanoseconds = start.elapsed().as_nanos().max(1);
    u64::try_from(u128::from(last.wrapping_sub(first)) * 1_000_000 / nanoseconds).unwrap_or(0)
}
