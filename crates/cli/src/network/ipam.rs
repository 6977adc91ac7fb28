//! Subnets, gateways, ranges and reserved addresses of `network create`, put together by subnet.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

/// The list of `IPAM.Config`: each gateway, range and reserved address belongs to the subnet that holds it.
///
/// # Errors
/// Docker's text for one that none holds, and for subnets that overlap.
pub fn config(
    subnets: &[String],
    ranges: &[String],
    gateways: &[String],
    reserved: &Map<String, Value>,
) -> Result<Value, String> {
    if subnets.len() < ranges.len() || subnets.len() < gateways.len() {
        return Err("every ip-range or gateway must have a corresponding subnet".into());
    }
    let mut parts: Vec<(Subnet, Map<String, Value>)> = Vec::new();
    for text in subnets {
        let subnet = Subnet::parse(text)?;
        if parts.iter().any(|(other, _)| other.holds(subnet.address) || subnet.holds(other.address)) {
            return Err("multiple overlapping subnet configuration is not supported".into());
        }
        parts.push((subnet, Map::from_iter([("Subnet".to_owned(), json!(text))])));
    }
    for (list, key, what) in [(ranges, "IPRange", "range"), (gateways, "Gateway", "gateway")] {
        for text in list {
            let address = if key == "IPRange" { Subnet::parse(text)?.address } else { parse(text)? };
            let (_, part) = parts
                .iter_mut()
                .find(|(subnet, part)| subnet.holds(address) && !part.contains_key(key))
                .ok_or_else(|| format!("no matching subnet for {what} {text}"))?;
            part.insert(key.to_owned(), json!(text));
        }
    }
    for (name, text) in reserved {
        let text = text.as_str().unwrap_or_default();
        let address = parse(text)?;
        let found = parts.iter_mut().find(|(subnet, _)| subnet.holds(address));
        let (_, part) = found.ok_or_else(|| format!("no matching subnet for aux-address {text}"))?;
        let list = part.entry("AuxiliaryAddresses").or_insert_with(|| json!({}));
        list[name] = json!(text);
    }
    Ok(parts.into_iter().map(|(_, part)| Value::Object(part)).collect())
}

fn parse(text: &str) -> Result<IpAddr, String> {
    let plain = text.split_once('/').map_or(text, |(address, _)| address);
    plain.parse().map_err(|_| format!("invalid address: {text}"))
}

struct Subnet {
    address: IpAddr,
    prefix: u32,
}

impl Subnet {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("invalid CIDR address: {text}");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= longest).ok_or_else(wrong)?;
        Ok(Self { address, prefix })
    }

    fn holds(&self, other: IpAddr) -> bool {
        let cut = |bits: u128, width: u32| bits.checked_shr(width - self.prefix).unwrap_or(0);
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => cut(a.to_bits().into(), 32) == cut(b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => cut(a.to_bits(), 128) == cut(b.to_bits(), 128),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn everything_finds_its_subnet() {
        let reserved = Map::from_iter([("router".to_owned(), json!("fd00::9"))]);
        let config = config(
            &texts(&["10.1.0.0/16", "fd00::/64"]),
            &texts(&["fd00::100/120", "10.1.2.0/24"]),
            &texts(&["10.1.0.254"]),
            &reserved,
        );
        assert_eq!(
            config.unwrap(),
            json!([
                {"Subnet": "10.1.0.0/16", "IPRange": "10.1.2.0/24", "Gateway": "10.1.0.254"},
                {"Subnet": "fd00::/64", "IPRange": "fd00::100/120", "AuxiliaryAddresses": {"router": "fd00::9"}},
            ])
        );
    }

    #[test]
    fn what_fits_nowhere_is_named() {
        let none = Map::new();
        for (subnets, ranges, gateways, words) in [
            (vec![], vec![], vec!["10.0.0.1"], "must have a corresponding subnet"),
            (vec!["10.1.0.0/16"], vec![], vec!["10.2.0.1"], "no matching subnet for gateway 10.2.0.1"),
            (vec!["10.1.0.0/16"], vec!["10.2.0.0/24"], vec![], "no matching subnet for range 10.2.0.0/24"),
            (vec!["10.1.0.0/16", "10.1.2.0/24"], vec![], vec![], "overlapping"),
            (vec!["10.1.0.0/33"], vec![], vec![], "invalid CIDR address: 10.1.0.0/33"),
            (vec!["x"], vec![], vec![], "invalid CIDR address: x"),
        ] {
            let error = config(&texts(&subnets), &texts(&ranges), &texts(&gateways), &none).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
