//! Subnets, of IPv4 unless their type says IPv6.

use std::{
    fmt,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// An address of either family, as a number to count with.
pub trait Address: Copy + Ord + Hash + fmt::Debug + fmt::Display + FromStr + Into<IpAddr> {
    /// Bits of an address.
    const BITS: u8;

    /// The address as a number.
    fn number(self) -> u128;

    /// The address with this number; bits beyond [`Self::BITS`] are dropped.
    fn from_number(number: u128) -> Self;
}

impl Address for Ipv4Addr {
    const BITS: u8 = 32;

    fn number(self) -> u128 {
        self.to_bits().into()
    }

    fn from_number(number: u128) -> Self {
        Self::from_bits(number as u32)
    }
}

impl Address for Ipv6Addr {
    const BITS: u8 = 128;

    fn number(self) -> u128 {
        self.to_bits()
    }

    fn from_number(number: u128) -> Self {
        Self::from_bits(number)
    }
}

/// A subnet: its first address and prefix length in bits. Written `172.17.0.0/16`, `fd00::/64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String", bound = "A: Address")]
pub struct Cidr<A: Address = Ipv4Addr> {
    first: A,
    prefix: u8,
}

/// Text that is no subnet of the family.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {text}")]
pub struct NoCidr {
    /// The text.
    pub text: String,
}

impl<A: Address> Cidr<A> {
    /// The subnet of `prefix` bits that holds `address`; `None` for more bits than an address has.
    #[must_use]
    pub fn new(address: A, prefix: u8) -> Option<Self> {
        (prefix <= A::BITS).then(|| Self { first: A::from_number(address.number() & mask::<A>(prefix)), prefix })
    }

    /// Reads `address/prefix` and keeps the address too (`--bip 10.0.0.1/24`).
    ///
    /// # Errors
    /// [`NoCidr`].
    pub fn parse_with_address(text: &str) -> Result<(A, Self), NoCidr> {
        let wrong = || NoCidr { text: text.to_owned() };
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: A = address.parse().map_err(|_| wrong())?;
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let subnet = prefix.parse().ok().and_then(|prefix| Self::new(address, prefix)).ok_or_else(wrong)?;
        Ok((address, subnet))
    }

    /// The network address.
    #[must_use]
    pub fn first(self) -> A {
        self.first
    }

    /// The last address; of IPv4 the broadcast address.
    #[must_use]
    pub fn last(self) -> A {
        A::from_number(self.first.number() | (self.size() - 1))
    }

    /// Prefix length in bits.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// How many addresses it holds; 2^127 for more.
    #[must_use]
    pub fn size(self) -> u128 {
        1 << (A::BITS - self.prefix).min(127)
    }

    /// The address `offset` places after the first; `None` beyond the last.
    #[must_use]
    pub fn at(self, offset: u128) -> Option<A> {
        (offset < self.size()).then(|| A::from_number(self.first.number() + offset))
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub fn contains(self, address: A) -> bool {
        address.number() & mask::<A>(self.prefix) == self.first.number()
    }

    /// Whether the two share an address.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// Its parts of `prefix` bits, in order; none when `prefix` is shorter than its own.
    pub fn parts(self, prefix: u8) -> impl Iterator<Item = Self> {
        let count = if prefix < self.prefix || prefix > A::BITS { 0 } else { 1u128 << (prefix - self.prefix).min(127) };
        let step = if prefix > A::BITS { 0 } else { 1u128 << (A::BITS - prefix).min(127) };
        (0..count).filter_map(move |index| Self::new(self.at(index.checked_mul(step)?)?, prefix))
    }
}

/// The bits of a network part.
fn mask<A: Address>(prefix: u8) -> u128 {
    let all = u128::MAX >> (128 - u32::from(A::BITS));
    all & !all.checked_shr(prefix.into()).unwrap_or(0)
}

impl<A: Address> fmt::Display for Cidr<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.first, self.prefix)
    }
}

impl<A: Address> FromStr for Cidr<A> {
    type Err = NoCidr;

    fn from_str(text: &str) -> Result<Self, NoCidr> {
        Self::parse_with_address(text).map(|(_, subnet)| subnet)
    }
}

impl<A: Address> TryFrom<String> for Cidr<A> {
    type Error = NoCidr;

    fn try_from(text: String) -> Result<Self, NoCidr> {
        text.parse()
    }
}

impl<A: Address> From<Cidr<A>> for String {
    fn from(cidr: Cidr<A>) -> Self {
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
    fn subnets_of_ipv6_are_the_same() {
        let net: Cidr<Ipv6Addr> = "fd00:1:2:3:4::5/48".parse().unwrap();
        assert_eq!(net.to_string(), "fd00:1:2::/48");
        assert_eq!(net.last().to_string(), "fd00:1:2:ffff:ffff:ffff:ffff:ffff");
        assert_eq!(net.parts(64).nth(0x1ff).unwrap().to_string(), "fd00:1:2:1ff::/64");
        assert_eq!(net.at(2).unwrap().to_string(), "fd00:1:2::2");
        assert!("::/0".parse::<Cidr<Ipv6Addr>>().unwrap().overlaps(net));
        assert_eq!("::1/128".parse::<Cidr<Ipv6Addr>>().unwrap().size(), 1);
        for text in ["10.0.0.0/8", "::/129", "fd00::", "::/-1"] {
            assert!(text.parse::<Cidr<Ipv6Addr>>().is_err(), "{text}");
        }
    }

    #[test]
    fn wrong_texts_are_refused_by_name() {
        for text in ["", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0/8", "::/0", "a/8"] {
            assert_eq!(text.parse::<Cidr>().unwrap_err().text, text);
        }
    }
}
