//! Addresses of one network: a bitmap over its range, rebuilt from the endpoints' records when the daemon starts.

use std::net::Ipv4Addr;

use crate::cidr::Cidr;

/// The addresses of one network. The lowest free one is given out first, as Docker does.
#[derive(Debug, Clone)]
pub struct Pool {
    subnet: Cidr,
    range: Cidr,
    /// One bit an address of the subnet; words are added as far as addresses are used.
    words: Vec<u64>,
    /// No word before this one has a free bit in the range.
    first_free_word: usize,
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

impl Pool {
    /// A pool of `subnet` that gives out addresses of `range` (its whole when `None`). Network and broadcast address
    /// are kept back, where the subnet is large enough to have them.
    #[must_use]
    pub fn new(subnet: Cidr, range: Option<Cidr>) -> Self {
        Self { subnet, range: range.unwrap_or(subnet), words: Vec::new(), first_free_word: 0 }
    }

    /// Takes the lowest free address of the range.
    ///
    /// # Errors
    /// [`Unavailable::Exhausted`].
    pub fn take_any(&mut self) -> Result<Ipv4Addr, Unavailable> {
        let first = self.offset(self.range.first()).unwrap_or(0);
        let end = (first + self.range.size()).min(self.subnet.size());
        let mut offset = first.max(self.first_free_word as u64 * 64);
        while offset < end {
            let word = self.words.get(offset as usize / 64).copied().unwrap_or(0);
            let free = !word & (u64::MAX << (offset % 64));
            let base = offset - offset % 64;
            if free == 0 {
                offset = base + 64;
                continue;
            }
            let candidate = base + u64::from(free.trailing_zeros());
            if candidate >= end {
                break;
            }
            offset = candidate + 1;
            if !self.is_kept_back(candidate) {
                self.set(candidate);
                self.first_free_word = candidate as usize / 64;
                return self.subnet.at(candidate).ok_or(Unavailable::Exhausted);
            }
        }
        Err(Unavailable::Exhausted)
    }

    /// Takes `address`.
    ///
    /// # Errors
    /// [`Unavailable::Outside`] or [`Unavailable::Taken`].
    pub fn take(&mut self, address: Ipv4Addr) -> Result<(), Unavailable> {
        let offset = self.offset(address).ok_or(Unavailable::Outside)?;
        if self.is_kept_back(offset) {
            return Err(Unavailable::Outside);
        }
        if self.words.get(offset as usize / 64).is_some_and(|word| word >> (offset % 64) & 1 == 1) {
            return Err(Unavailable::Taken);
        }
        self.set(offset);
        Ok(())
    }

    /// Gives `address` back; a free one is no error.
    pub fn release(&mut self, address: Ipv4Addr) {
        let Some(offset) = self.offset(address) else { return };
        if let Some(word) = self.words.get_mut(offset as usize / 64) {
            *word &= !(1 << (offset % 64));
            self.first_free_word = self.first_free_word.min(offset as usize / 64);
        }
    }

    /// How many addresses are taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    fn offset(&self, address: Ipv4Addr) -> Option<u64> {
        self.subnet.contains(address).then(|| u64::from(address.to_bits() - self.subnet.first().to_bits()))
    }

    fn is_kept_back(&self, offset: u64) -> bool {
        self.subnet.prefix() < 31 && (offset == 0 || offset == self.subnet.size() - 1)
    }

    fn set(&mut self, offset: u64) {
        let index = offset as usize / 64;
        if self.words.len() <= index {
            self.words.resize(index + 1, 0);
        }
        self.words[index] |= 1 << (offset % 64);
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
    fn addresses_outside_are_refused() {
        let mut pool = pool("10.0.0.0/24", None);
        for outside in ["10.0.0.0", "10.0.0.255", "10.0.1.1", "9.255.255.255"] {
            assert_eq!(pool.take(outside.parse().unwrap()), Err(Unavailable::Outside));
        }
    }
}
