//! Addresses of one network, rebuilt from the endpoints' records when the daemon starts.

use std::{collections::BTreeSet, net::Ipv4Addr};

use crate::cidr::{Address, Cidr};

/// The addresses of one network and one family. The lowest free one is given out first, as Docker does.
#[derive(Debug, Clone)]
pub struct Pool<A: Address = Ipv4Addr> {
    subnet: Cidr<A>,
    range: Cidr<A>,
    /// Offsets in the subnet of what is taken.
    taken: BTreeSet<u128>,
    /// No offset before this one is free in the range.
    first_free: u128,
}

/// Why an address cannot be given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unavailable {
    /// It lies outside the subnet, or is its network or broadcast address.
    Outside,
    /// Somebody has it.
    Taken,
    /// No address is left.
    Exhausted,
}

impl<A: Address> Pool<A> {
    /// A pool of `subnet` that gives out addresses of `range` (its whole when `None`). The first and, of IPv4, the last
    /// address are kept back, where the subnet is large enough to have them.
    #[must_use]
    pub fn new(subnet: Cidr<A>, range: Option<Cidr<A>>) -> Self {
        Self { subnet, range: range.unwrap_or(subnet), taken: BTreeSet::new(), first_free: 0 }
    }

    /// Takes the lowest free address of the range.
    ///
    /// # Errors
    /// [`Unavailable::Exhausted`].
    pub fn take_any(&mut self) -> Result<A, Unavailable> {
        let first = self.offset(self.range.first()).unwrap_or(0);
        let end = (first + self.range.size()).min(self.subnet.size());
        let mut candidate = first.max(self.first_free);
        // The taken ones from there on, in order: the first gap is the lowest free address.
        for taken in self.taken.range(candidate..) {
            while candidate < *taken && self.is_kept_back(candidate) {
                candidate += 1;
            }
            if candidate < *taken {
                break;
            }
            candidate = taken + 1;
        }
        while candidate < end && self.is_kept_back(candidate) {
            candidate += 1;
        }
        if candidate >= end {
            return Err(Unavailable::Exhausted);
        }
        self.taken.insert(candidate);
        self.first_free = candidate + 1;
        self.subnet.at(candidate).ok_or(Unavailable::Exhausted)
    }

    /// Takes `address`.
    ///
    /// # Errors
    /// [`Unavailable::Outside`] or [`Unavailable::Taken`].
    pub fn take(&mut self, address: A) -> Result<(), Unavailable> {
        let offset = self.offset(address).ok_or(Unavailable::Outside)?;
        if self.is_kept_back(offset) {
            return Err(Unavailable::Outside);
        }
        if self.taken.insert(offset) { Ok(()) } else { Err(Unavailable::Taken) }
    }

    /// Gives `address` back; a free one is no error.
    pub fn release(&mut self, address: A) {
        let Some(offset) = self.offset(address) else { return };
        if self.taken.remove(&offset) {
            self.first_free = self.first_free.min(offset);
        }
    }

    /// How many addresses are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.len()
    }

    /// Addresses that nobody can be given, and addresses of the range that the next ones can have.
    #[must_use]
    pub fn usage(&self) -> (u128, u128) {
        let size = self.subnet.size();
        let kept_back = |from: u128, to: u128| (from..to).filter(|offset| self.is_kept_back(*offset)).count() as u128;
        let ends = |from: u128, to: u128| match to - from {
            0..=4 => kept_back(from, to),
            _ => kept_back(from, from + 2) + kept_back(to - 2, to),
        };
        let first = self.offset(self.range.first()).unwrap_or(0);
        let end = (first + self.range.size()).min(size);
        let taken = self.taken.range(first..end).count() as u128;
        (self.taken.len() as u128 + ends(0, size), (end - first) - ends(first, end) - taken)
    }

    fn offset(&self, address: A) -> Option<u128> {
        self.subnet.contains(address).then(|| address.number() - self.subnet.first().number())
    }

    fn is_kept_back(&self, offset: u128) -> bool {
        let has_both = self.subnet.prefix() < A::BITS - 1;
        has_both && (offset == 0 || (A::BITS == 32 && offset == self.subnet.size() - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(subnet: &str, range: Option<&str>) -> Pool {
        Pool::new(subnet.parse().unwrap(), range.map(|range| range.parse().unwrap()))
    }

    #[test]
    fn the_lowest_free_address_comes_first() {
        let mut pool = pool("10.0.0.0/16", None);
        pool.take("10.0.0.1".parse().unwrap()).unwrap();
        for host in 2..=200 {
            assert_eq!(pool.take_any().unwrap(), Ipv4Addr::new(10, 0, 0, host));
        }
        pool.release("10.0.0.7".parse().unwrap());
        assert_eq!(pool.take_any().unwrap().to_string(), "10.0.0.7");
        assert_eq!(pool.take_any().unwrap().to_string(), "10.0.0.201");
        assert_eq!(pool.taken(), 201);
    }

    #[test]
    fn every_address_is_given_once_and_then_none() {
        for (subnet, range, count) in [
            ("10.0.0.0/24", None, 254),
            ("10.0.0.0/30", None, 2),
            ("10.0.0.0/31", None, 2),
            ("10.0.0.0/32", None, 1),
            ("10.0.0.0/16", Some("10.0.255.0/24"), 255),
            ("10.0.0.0/24", Some("10.0.0.64/29"), 8),
        ] {
            let mut pool = pool(subnet, range);
            let mut seen = std::collections::BTreeSet::new();
            while let Ok(address) = pool.take_any() {
                assert!(seen.insert(address), "{subnet}: {address} twice");
            }
            assert_eq!(seen.len(), count, "{subnet} {range:?}");
            assert_eq!(pool.take_any(), Err(Unavailable::Exhausted));
            let first = *seen.first().unwrap();
            assert_eq!(pool.take(first), Err(Unavailable::Taken));
            pool.release(first);
            assert_eq!(pool.take_any(), Ok(first));
        }
    }

    #[test]
    fn far_addresses_of_ipv6_take_no_room() {
        let mut pool: Pool<std::net::Ipv6Addr> = Pool::new("fd00::/64".parse().unwrap(), None);
        pool.take("fd00::ffff:ffff:ffff:ffff".parse().unwrap()).unwrap();
        pool.take("fd00::1".parse().unwrap()).unwrap();
        assert_eq!(pool.take_any().unwrap().to_string(), "fd00::2");
        assert_eq!(pool.take_any().unwrap().to_string(), "fd00::3");
        pool.release("fd00::2".parse().unwrap());
        assert_eq!(pool.take_any().unwrap().to_string(), "fd00::2");
        assert_eq!(pool.take("fd00::".parse().unwrap()), Err(Unavailable::Outside));
    }

    #[test]
    fn addresses_outside_are_refused() {
        let mut pool = pool("10.0.0.0/24", None);
        for outside in ["10.0.0.0", "10.0.0.255", "10.0.1.1", "9.255.255.255"] {
            assert_eq!(pool.take(outside.parse().unwrap()), Err(Unavailable::Outside));
        }
    }
}
