//! A network's subnets: as a user asks for them, or from the pools.

use std::{collections::BTreeMap, net::Ipv6Addr};

use berth_kit::id;
use berth_record::Durability;

use crate::{
    AddressPool, Error, Result,
    cidr::{Address, Cidr},
    netlink::address::Family,
    networks::Shared,
    record::{self, NetworkRecord, Subnet},
};

/// Key of the engine's own IPv6 prefix among the settings.
const OWN_PREFIX: &str = "ipv6_prefix";

/// A subnet that a user asks for; texts as they came, so that an error can repeat them.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct SubnetRequest {
    /// `10.1.0.0/16`, `fd00:1::/64`.
    pub subnet: Option<String>,
    /// `10.1.0.1`.
    pub gateway: Option<String>,
    /// `10.1.5.0/24`.
    pub ip_range: Option<String>,
    /// Addresses that are never given out, by name.
    pub aux_addresses: BTreeMap<String, String>,
}

impl SubnetRequest {
    /// Whether it is about IPv6.
    pub(crate) fn is_ipv6(&self) -> bool {
        [&self.subnet, &self.gateway, &self.ip_range].into_iter().flatten().any(|text| text.contains(':'))
    }
}

/// The subnet asked for; `None` when none is.
pub(crate) fn parse<A: Address>(wanted: &SubnetRequest) -> Result<Option<Subnet<A>>> {
    let Some(text) = wanted.subnet.as_deref().filter(|text| !text.is_empty()) else {
        return match (&wanted.gateway, &wanted.ip_range) {
            (None, None) => Ok(None),
            _ => Err(Error::Invalid { field: "IPAM.Config", why: "a gateway or range needs a subnet".to_owned() }),
        };
    };
    let subnet: Cidr<A> = text.parse().map_err(|_| wrong("IPAM.Config.Subnet", text))?;
    if subnet.prefix() > A::BITS - 2 {
        let why = format!("{text}: a subnet needs room for a gateway and a container: /{} or larger", A::BITS - 2);
        return Err(Error::Invalid { field: "IPAM.Config.Subnet", why });
    }
    let inside = |field: &'static str, text: &str| -> Result<A> {
        // Some clients write an address with its prefix.
        let plain = text.split_once('/').map_or(text, |(address, _)| address);
        let address: A = plain.parse().map_err(|_| wrong(field, text))?;
        match subnet.contains(address) {
            true => Ok(address),
            false => Err(Error::Invalid { field, why: format!("{text} is not in subnet {subnet}") }),
        }
    };
    let ip_range = match wanted.ip_range.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => Some(range(&subnet, text)?),
        None => None,
    };
    let gateway = match wanted.gateway.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => inside("IPAM.Config.Gateway", text)?,
        None => subnet.at(1).unwrap_or(subnet.first()),
    };
    if gateway == subnet.first() || (A::BITS == 32 && gateway == subnet.last()) {
        let why = format!("{gateway} is the network or broadcast address of {subnet}");
        return Err(Error::Invalid { field: "IPAM.Config.Gateway", why });
    }
    let mut aux_addresses = BTreeMap::new();
    for (name, text) in &wanted.aux_addresses {
        aux_addresses.insert(name.clone(), inside("IPAM.Config.AuxiliaryAddresses", text)?);
    }
    Ok(Some(Subnet { subnet, gateway, ip_range, aux_addresses }))
}

fn range<A: Address>(subnet: &Cidr<A>, text: &str) -> Result<Cidr<A>> {
    let range: Cidr<A> = text.parse().map_err(|_| wrong("IPAM.Config.IPRange", text))?;
    if range.prefix() < subnet.prefix() || !subnet.contains(range.first()) {
        let why = format!("{text} is not in subnet {subnet}");
        return Err(Error::Invalid { field: "IPAM.Config.IPRange", why });
    }
    Ok(range)
}

/// A subnet of which nothing is set apart.
pub(crate) fn plain<A: Address>(subnet: Cidr<A>, gateway: A) -> Subnet<A> {
    Subnet { subnet, gateway, ip_range: None, aux_addresses: BTreeMap::new() }
}

fn wrong(field: &'static str, value: &str) -> Error {
    Error::Invalid { field, why: format!("invalid value {value:?}") }
}

impl Shared {
    /// The first subnet of the default pools that neither a network nor the host uses; `bridge` is the link that will
    /// have it.
    pub fn free_subnet(&self, bridge: &str) -> Result<Subnet> {
        let taken = |network: &NetworkRecord| Some(network.subnet.as_ref()?.subnet);
        let used = self.lock().networks.values().filter_map(taken).collect();
        self.free_of(&self.config.default_pools, bridge, used)
    }

    /// The same of IPv6; without pools in the configuration from a prefix of the engine's own (RFC 4193).
    pub fn free_subnet6(&self, bridge: &str) -> Result<Subnet<Ipv6Addr>> {
        let taken = |network: &NetworkRecord| Some(network.subnet6.as_ref()?.subnet);
        let used = self.lock().networks.values().filter_map(taken).collect();
        match self.config.default_pools6.as_slice() {
            [] => self.free_of(&[AddressPool { base: self.own_prefix()?, size: 64 }], bridge, used),
            pools => self.free_of(pools, bridge, used),
        }
    }

    fn free_of<A: Family>(&self, pools: &[AddressPool<A>], bridge: &str, used: Vec<Cidr<A>>) -> Result<Subnet<A>> {
        let busy = spans(used.into_iter().chain(self.bridge.used_subnets(bridge)?));
        let candidates = pools.iter().flat_map(|pool| pool.base.parts(pool.size));
        let subnet = first_free(candidates, &busy).ok_or(Error::NoPool)?;
        let gateway = subnet.at(u128::from(subnet.size() > 2)).ok_or(Error::NoPool)?;
        Ok(plain(subnet, gateway))
    }

    /// The engine's own prefix, made at random once and kept.
    fn own_prefix(&self) -> Result<Cidr<Ipv6Addr>> {
        if let Some(prefix) = self.store.get::<Cidr<Ipv6Addr>>(record::SETTINGS, OWN_PREFIX)? {
            return Ok(prefix);
        }
        // Forty random bits behind fd.
        let digits = id::generate();
        let random = u128::from_str_radix(digits.get(..10).unwrap_or_default(), 16).unwrap_or_default();
        let address = Ipv6Addr::from_bits(0xfd << 120 | random << 80);
        let prefix = Cidr::new(address, 48).ok_or(Error::NoPool)?;
        self.store.put(record::SETTINGS, OWN_PREFIX, &prefix, &prefix, Durability::Power)?;
        Ok(prefix)
    }
}

/// What is used, as numbers of first and last addresses, in order and merged.
fn spans<A: Address>(used: impl Iterator<Item = Cidr<A>>) -> Vec<(u128, u128)> {
    let mut spans: Vec<(u128, u128)> = used.map(|subnet| (subnet.first().number(), subnet.last().number())).collect();
    spans.sort_unstable();
    let mut merged: Vec<(u128, u128)> = Vec::with_capacity(spans.len());
    for (first, last) in spans {
        match merged.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn first_free<A: Address>(mut candidates: impl Iterator<Item = Cidr<A>>, busy: &[(u128, u128)]) -> Option<Cidr<A>> {
    candidates.find(|candidate| {
        // The last span that begins before the candidate ends is the only one that can reach into it.
        let end = candidate.last().number();
        let before = busy.partition_point(|(first, _)| *first <= end);
        before.checked_sub(1).is_none_or(|at| busy[at].1 < candidate.first().number())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<Cidr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_first_gap_between_what_is_used_is_found() {
        let base: Cidr = "10.0.0.0/16".parse().unwrap();
        for (used, found) in [
            (vec![], Some("10.0.0.0/24")),
            (vec!["10.0.0.0/25"], Some("10.0.1.0/24")),
            (vec!["10.0.0.128/25", "10.0.1.0/24", "10.0.3.0/24"], Some("10.0.2.0/24")),
            (vec!["0.0.0.0/1", "192.168.0.0/16"], None),
            (vec!["10.0.0.0/17", "10.0.128.0/24"], Some("10.0.129.0/24")),
            (vec!["9.0.0.0/8", "11.0.0.0/8"], Some("10.0.0.0/24")),
        ] {
            let busy = spans(nets(&used).into_iter());
            let free = first_free(base.parts(24), &busy).map(|net| net.to_string());
            assert_eq!(free.as_deref(), found, "{used:?}");
        }
    }

    #[test]
    fn thousands_of_small_networks_are_found_one_after_the_other() {
        let base: Cidr = "10.0.0.0/8".parse().unwrap();
        let used: Vec<Cidr> = base.parts(28).take(5000).collect();
        let busy = spans(used.iter().copied());
        assert_eq!(busy.len(), 5000, "neighbours are not one span");
        assert_eq!(first_free(base.parts(28), &busy).unwrap(), base.parts(28).nth(5000).unwrap());
    }

    #[test]
    fn subnets_of_ipv6_are_read() {
        let wanted = SubnetRequest {
            subnet: Some("fd00:5::/64".into()),
            ip_range: Some("fd00:5::100/120".into()),
            aux_addresses: [("a".to_owned(), "fd00:5::9".to_owned())].into(),
            ..SubnetRequest::default()
        };
        assert!(wanted.is_ipv6());
        let subnet = parse::<Ipv6Addr>(&wanted).unwrap().unwrap();
        assert_eq!((subnet.gateway.to_string().as_str(), subnet.aux_addresses.len()), ("fd00:5::1", 1));
        let outside = SubnetRequest { gateway: Some("fd00:6::1".into()), ..wanted };
        assert!(parse::<Ipv6Addr>(&outside).unwrap_err().to_string().contains("fd00:6::1"));
    }
}
