//! IPv4 subnets.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Serialize};

/// An IPv4 subnet: its first address and prefix length in bits. Written `172.17.0.0/16`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    first: Ipv4Addr,
    prefix: u8,
}

/// Text that is no IPv4 subnet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {text}")]
pub struct NoCidr {
    /// The text.
    pub text: String,
}

impl Cidr {
    /// The subnet of `prefix` bits that holds `address`; `None` for more than 32 bits.
    #[must_use]
    pub fn new(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        (prefix <= 32).then(|| Self { first: Ipv4Addr::from_bits(address.to_bits() & mask(prefix)), prefix })
    }

    /// Reads `address/prefix` and keeps the address too (`--bip 10.0.0.1/24`).
    ///
    /// # Errors
    /// [`NoCidr`].
    pub fn parse_with_address(text: &str) -> Result<(Ipv4Addr, Self), NoCidr> {
        let wrong = || NoCidr { text: text.to_owned() };
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let subnet = prefix.parse().ok().and_then(|prefix| Self::new(address, prefix)).ok_or_else(wrong)?;
        Ok((address, subnet))
    }

    /// The network address.
    #[must_use]
    pub fn first(self) -> Ipv4Addr {
        self.first
    }

    /// The broadcast address.
    #[must_use]
    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits() | !mask(self.prefix))
    }

    /// Prefix length in bits.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// How many addresses it holds.
    #[must_use]
    pub fn size(self) -> u64 {
        1 << (32 - u32::from(self.prefix))
    }

    /// The address `offset` places after the first; `None` beyond the last.
    #[must_use]
    pub fn at(self, offset: u64) -> Option<Ipv4Addr> {
        if offset >= self.size() {
            return None;
        }
        Some(Ipv4Addr::from_bits(self.first.to_bits() + u32::try_from(offset).ok()?))
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.prefix) == self.first.to_bits()
    }

    /// Whether the two share an address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// Its parts of `prefix` bits, in order; none when `prefix` is shorter than its own.
    pub fn parts(self, prefix: u8) -> impl Iterator<Item = Self> {
        let count = if prefix < self.prefix || prefix > 32 { 0 } else { 1u64 << (prefix - self.prefix) };
        let step = if prefix > 32 { 0 } else { 1u64 << (32 - u32::from(prefix)) };
        (0..count).filter_map(move |index| Self::new(self.at(index * step)?, prefix))
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

impl fmt::Display for Cidr {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.first, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = NoCidr;

    fn from_str(text: &str) -> Result<Self, NoCidr> {
        Self::parse_with_address(text).map(|(_, subnet)| subnet)
    }
}

impl TryFrom<String> for Cidr {
    type Error = NoCidr;

    fn try_from(text: String) -> Result<Self, NoCidr> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_are_read_measured_and_split() {
        let net: Cidr = "192.168.7.9/20".parse().unwrap();
        assert_eq!(net.to_string(), "192.168.0.0/20");
        assert_eq!(net.last().to_string(), "192.168.15.255");
        assert_eq!(net.size(), 4096);
        assert_eq!(net.parts(22).map(|p| p.to_string()).collect::<Vec<_>>().len(), 4);
        assert_eq!(net.parts(22).last().unwrap().to_string(), "192.168.12.0/22");
        let all: Cidr = "0.0.0.0/0".parse().unwrap();
        assert!(all.overlaps(net) && net.overlaps(all) && all.size() == 1 << 32);
        assert_eq!("10.0.0.1/32".parse::<Cidr>().unwrap().last().to_string(), "10.0.0.1");
    }

    #[test]
    fn wrong_texts_are_refused_by_name() {
        for text in ["", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0/8", "::/0", "a/8"] {
            assert_eq!(text.parse::<Cidr>().unwrap_err().text, text);
        }
    }
}
