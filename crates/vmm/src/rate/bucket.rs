//! A token bucket whose balance may go below zero: a request larger than the bucket passes once it is its turn, and what
//! follows waits until it is paid for.

/// A bucket is full with what it gets in this time.
const BURST_MS: i128 = 100;
const NS_PER_S: i128 = 1_000_000_000;

/// See the module. Times are nanoseconds since any fixed moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    per_s: u64,
    /// In tokens times nanoseconds: whole numbers whatever the rate and the time.
    balance: i128,
    last_ns: u64,
}

impl Bucket {
    /// A full bucket which gets `per_s` tokens a second, at least one.
    #[must_use]
    pub fn new(per_s: u64) -> Self {
        let per_s = per_s.max(1);
        Self { per_s, balance: Self::full(per_s), last_ns: 0 }
    }

    /// How long to wait until something may pass; 0 when it may now.
    pub fn wait_ns(&mut self, now_ns: u64) -> u64 {
        self.fill(now_ns);
        if self.balance > 0 {
            return 0;
        }
        let missing = 1 - self.balance;
        u64::try_from(missing.unsigned_abs().div_ceil(u128::from(self.per_s))).unwrap_or(u64::MAX)
    }

    /// Takes tokens, more than there are if need be.
    pub fn charge(&mut self, tokens: u64) {
        self.balance = self.balance.saturating_sub(i128::from(tokens) * NS_PER_S);
    }

    fn fill(&mut self, now_ns: u64) {
        // A clock that goes back adds nothing.
        let elapsed = now_ns.saturating_sub(self.last_ns);
        self.last_ns = self.last_ns.max(now_ns);
        let gained = i128::from(elapsed).saturating_mul(i128::from(self.per_s));
        self.balance = self.balance.saturating_add(gained).min(Self::full(self.per_s));
    }

    /// At least one token, or a slow bucket would never have a whole one.
    fn full(per_s: u64) -> i128 {
        (i128::from(per_s) * NS_PER_S * BURST_MS / 1000).max(NS_PER_S)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_large_request_passes_and_is_paid_for() {
        let mut bucket = Bucket::new(1000);
        assert_eq!(bucket.wait_ns(0), 0);
        bucket.charge(1100);
        // 100 were there; 1000 more take a second, and the next one a nanosecond.
        assert_eq!(bucket.wait_ns(0), 1_000_000_001);
        assert_eq!(bucket.wait_ns(1_000_000_001), 0);
    }

    proptest! {
        #[test]
        fn no_more_passes_than_the_rate_the_burst_and_one_request(
            per_s in 1_u64..1 << 40,
            steps in proptest::collection::vec((0_u64..1 << 32, 0_u64..1 << 20), 1..100),
        ) {
            let mut bucket = Bucket::new(per_s);
            let (mut now, mut passed, mut largest) = (0_u64, 0_i128, 0_i128);
            for (elapsed, tokens) in steps {
                now += elapsed;
                if bucket.wait_ns(now) == 0 {
                    bucket.charge(tokens);
                    passed += i128::from(tokens);
                    largest = largest.max(i128::from(tokens));
                }
            }
            let allowed = i128::from(per_s) * i128::from(now) / NS_PER_S + Bucket::full(per_s) / NS_PER_S + largest + 2;
            prop_assert!(passed <= allowed, "{passed} > {allowed}");
        }

        #[test]
        fn after_the_wait_something_passes_and_not_before(per_s in 1_u64..u64::MAX, tokens in 0_u64..u64::MAX, at in 0_u64..1 << 50) {
            let mut bucket = Bucket::new(per_s);
            bucket.wait_ns(at);
            bucket.charge(tokens);
            let wait = bucket.wait_ns(at);
            if wait > 0 && at.checked_add(wait).is_some() {
                prop_assert!(bucket.clone().wait_ns(at + wait - 1) > 0);
                prop_assert_eq!(bucket.wait_ns(at + wait), 0);
            }
        }

        #[test]
        fn nothing_overflows(per_s in any::<u64>(), steps in proptest::collection::vec((any::<u64>(), any::<u64>()), 0..20)) {
            let mut bucket = Bucket::new(per_s);
            for (now, tokens) in steps {
                bucket.wait_ns(now);
                bucket.charge(tokens);
            }
        }
    }
}
