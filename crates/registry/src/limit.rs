//! Rates by address: a bucket of tokens for each, which fills with time.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Addresses that are remembered.
const ADDRESSES_MAX: usize = 65_536;

/// A rate: so many in a period, for each address.
#[derive(Debug)]
pub struct Rate {
    count: f64,
    period_s: f64,
    buckets: Mutex<HashMap<IpAddr, (f64, Instant)>>,
}

impl Rate {
    /// `count` in each `period`; zero for no limit.
    #[must_use]
    pub fn new(count: u32, period: Duration) -> Self {
        Self { count: f64::from(count), period_s: period.as_secs_f64(), buckets: Mutex::default() }
    }

    /// Takes one; the error is after how many seconds to ask again.
    ///
    /// # Errors
    /// Seconds, when none is left.
    pub fn take(&self, address: IpAddr) -> Result<(), u64> {
        self.change(address, 1.0)
    }

    /// Whether one is left, without taking it.
    ///
    /// # Errors
    /// Seconds, when none is left.
    pub fn look(&self, address: IpAddr) -> Result<(), u64> {
        self.change(address, 0.0)
    }

    fn change(&self, address: IpAddr, taken: f64) -> Result<(), u64> {
        if self.count == 0.0 {
            return Ok(());
        }
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&address) {
            // Full buckets say nothing.
            let period = self.period_s;
            buckets.retain(|_, (_, time)| now.duration_since(*time).as_secs_f64() < period);
            if buckets.len() >= ADDRESSES_MAX {
                buckets.clear();
            }
        }
        let (left, time) = buckets.entry(address).or_insert((self.count, now));
        let filled = *left + now.duration_since(*time).as_secs_f64() * self.count / self.period_s;
        (*left, *time) = (filled.min(self.count), now);
        if *left < 1.0 {
            let seconds = (1.0 - *left) * self.period_s / self.count;
            return Err((seconds.ceil() as u64).max(1));
        }
        *left -= taken;
        Ok(())
    }
}

/// Connections by address.
#[derive(Debug, Default)]
pub struct Counts {
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Counts {
    /// Counts one more unless that is too many.
    pub fn enter(&self, address: IpAddr, max: usize) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= max {
            return false;
        }
        *count += 1;
        true
    }

    /// Counts one less.
    pub fn leave(&self, address: IpAddr) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_rate_lets_so_many_through_and_says_when_to_come_again() {
        let rate = Rate::new(3, Duration::from_secs(60));
        assert!((0..3).all(|_| rate.take(ADDRESS).is_ok()));
        assert!(matches!(rate.take(ADDRESS), Err(19..=20)));
        assert!(rate.look(ADDRESS).is_err());
        assert!(rate.take(IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2))).is_ok());
        assert!(Rate::new(0, Duration::from_secs(1)).take(ADDRESS).is_ok());
        let quick = Rate::new(1000, Duration::from_secs(1));
        assert!((0..1000).all(|_| quick.take(ADDRESS).is_ok()));
        std::thread::sleep(Duration::from_millis(20));
        assert!(quick.take(ADDRESS).is_ok());
    }

    #[test]
    fn connections_are_counted() {
        let counts = Counts::default();
        assert!(counts.enter(ADDRESS, 1) && !counts.enter(ADDRESS, 1));
        counts.leave(ADDRESS);
        assert!(counts.enter(ADDRESS, 1));
    }
}
