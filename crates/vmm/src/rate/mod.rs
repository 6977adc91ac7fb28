//! How a device is held to a speed: token buckets, and a timer that wakes the device when it may go on.

mod bucket;

use std::{
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    time::Instant,
};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

pub use bucket::Bucket;

use crate::{Error, Result, config::Rate};

/// Limits of one direction of a device.
#[derive(Debug)]
pub struct Limiter {
    buckets: Option<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    bytes: Option<Bucket>,
    operations: Option<Bucket>,
    start: Instant,
    timer: OwnedFd,
}

impl Limiter {
    /// # Errors
    /// [`Error::System`].
    pub fn new(rate: Rate) -> Result<Self> {
        if rate == Rate::default() {
            return Ok(Self { buckets: None });
        }
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer =
            rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags).map_err(Error::errno("make a timer"))?;
        let bucket = |per_s: u64| (per_s > 0).then(|| Bucket::new(per_s));
        let (bytes, operations) = (bucket(rate.bytes_per_s), bucket(rate.operations_per_s));
        Ok(Self { buckets: Some(Buckets { bytes, operations, start: Instant::now(), timer }) })
    }

    /// Whether a request of `bytes` may go on now. When not, [`timer`](Self::timer) tells when to ask again.
    pub fn admits(&mut self, bytes: u64) -> bool {
        self.buckets.as_mut().is_none_or(|buckets| buckets.admit(bytes))
    }

    /// Readable when a request that had to wait may be asked for again.
    #[must_use]
    pub fn timer(&self) -> Option<BorrowedFd<'_>> {
        self.buckets.as_ref().map(|buckets| buckets.timer.as_fd())
    }
}

impl Buckets {
    fn admit(&mut self, bytes: u64) -> bool {
        let now_ns = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let both = [(&mut self.bytes, bytes), (&mut self.operations, 1)];
        let mut wait_ns = 0;
        let mut open = Vec::with_capacity(2);
        for (bucket, amount) in both {
            if let Some(bucket) = bucket {
                wait_ns = wait_ns.max(bucket.wait_ns(now_ns));
                open.push((bucket, amount));
            }
        }
        if wait_ns == 0 {
            open.into_iter().for_each(|(bucket, amount)| bucket.charge(amount));
            return true;
        }
        let after = Timespec { tv_sec: (wait_ns / 1_000_000_000) as i64, tv_nsec: (wait_ns % 1_000_000_000) as i64 };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Itimerspec { it_interval: never, it_value: after };
        // Without its timer a device waits for the next kick of its driver.
        let _ = rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_no_limit_and_a_limit_wakes_up_again() {
        let mut free = Limiter::new(Rate::default()).expect("limiter");
        assert!(free.timer().is_none() && (0..1000).all(|_| free.admits(u64::MAX)));
        let mut limited = Limiter::new(Rate { bytes_per_s: 0, operations_per_s: 50 }).expect("limiter");
        let admitted = (0..1000).filter(|_| limited.admits(1)).count();
        assert!((5..=60).contains(&admitted), "{admitted}");
        let timer = limited.timer().expect("timer");
        let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
        let mut set = [rustix::event::PollFd::from_borrowed_fd(timer, rustix::event::PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut set, Some(&limit)), Ok(1));
        assert!(limited.admits(1));
    }
}
