//! Waiting for a condition, bounded.

use std::time::{Duration, Instant};

/// Asks every millisecond at first, then every 20 ms, until `ask` gives a value, for at most `seconds`; panics with `what` when it never does.
pub fn eventually<T>(what: &str, seconds: u64, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    let end = begin + Duration::from_secs(seconds);
    loop {
        if let Some(value) = ask() {
            return value;
        }
        assert!(Instant::now() < end, "not within {seconds} s: {what}");
        let pause_ms = if begin.elapsed() < Duration::from_millis(200) { 1 } else { 20 };
        std::thread::sleep(Duration::from_millis(pause_ms));
    }
}
