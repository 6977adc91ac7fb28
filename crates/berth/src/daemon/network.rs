//! Options of the networks.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Result, anyhow, bail};
use berth_network::{AddressPool, Cidr, NetworkConfig, cidr::Address};
use serde_json::Value;

use super::value::Values;

/// The networks' configuration.
///
/// # Errors
/// Names the option whose value cannot be.
pub fn config(values: &Values) -> Result<NetworkConfig> {
    let default = NetworkConfig::default();
    if values.text("bridge").is_some() && values.text("bip").is_some() {
        bail!("You specified --bridge & --bip, mutually exclusive options. Please specify only one");
    }
    let mtu = values.number("mtu").map(u32::try_from).transpose();
    let pools = pools(values)?;
    let pools6 = pools6(values)?;
    let respect_host_input = match values.text("publish-policy") {
        None | Some("" | "publish") => false,
        Some("respect-host-input") => true,
        Some(other) => bail!("invalid value {other:?} for publish-policy: use \"publish\" or \"respect-host-input\""),
    };
    let bip6 = values.parsed(
        "bip6",
        |text| Cidr::parse_with_address(text).ok(),
        "it must be an IPv6 address with a prefix length, such as fd00::1/64",
    )?;
    let fixed_v6 = values.parsed(
        "fixed-cidr-v6",
        |text| text.parse::<Cidr<Ipv6Addr>>().ok(),
        "it must be an IPv6 subnet, such as fd00::/64",
    )?;
    Ok(NetworkConfig {
        bridge_name: values.text("bridge").map_or(default.bridge_name, str::to_owned),
        bip: values.parsed(
            "bip",
            |text| Cidr::parse_with_address(text).ok(),
            "it must be an address with a prefix length, such as 172.30.0.1/16",
        )?,
        fixed_cidr: values.parsed(
            "fixed-cidr",
            |text| text.parse().ok(),
            "it must be a subnet, such as 172.30.8.0/21",
        )?,
        default_pools: if pools.is_empty() { default.default_pools } else { pools },
        default_pools6: pools6,
        ipv6: values.flag_or("ipv6", false) || bip6.is_some(),
        bip6: bip6.or(fixed_v6.and_then(|subnet| Some((subnet.at(1)?, subnet)))),
        respect_host_input,
        mtu: mtu
            .map_err(|_| anyhow!("invalid value for mtu: it must be a positive number"))?
            .filter(|mtu| *mtu > 0)
            .unwrap_or(default.mtu),
        firewall: values.flag_or("iptables", true),
        relay: None,
        ip_forward: values.flag_or("ip-forward", true),
        ip_masq: values.flag_or("ip-masq", true),
        icc: values.flag_or("icc", true),
        userland_proxy: values.flag_or("userland-proxy", true),
        host_binding_ip: values
            .parsed("ip", |text| text.parse::<Ipv4Addr>().ok(), "it must be an IPv4 address")?
            .unwrap_or(default.host_binding_ip),
        ..default
    })
}

/// Flags give `base=10.0.0.0/8,size=24`, the file `{"base": "10.0.0.0/8", "size": 24}`.
fn pools(values: &Values) -> Result<Vec<AddressPool>> {
    items(values)
        .filter(|item| !is_ipv6(item))
        .map(|item| {
            pool(item).ok_or_else(|| {
                anyhow!("invalid value {item} for default-address-pools: it must have a base such as 10.0.0.0/8 and a size from its prefix length to 30")
            })
        })
        .collect()
}

fn pools6(values: &Values) -> Result<Vec<AddressPool<Ipv6Addr>>> {
    let wrong = |item: &Value| {
        anyhow!(
            "invalid value {item} for default-address-pools: it must have a base such as fd00:7::/48 and a size from its prefix length to 120"
        )
    };
    let pool = |item| {
        let (base, size) = parts::<Ipv6Addr>(item)?;
        (base.prefix()..=120).contains(&size).then_some(AddressPool { base, size })
    };
    items(values).filter(|item| is_ipv6(item)).map(|item| pool(item).ok_or_else(|| wrong(item))).collect()
}

fn items(values: &Values) -> impl Iterator<Item = &Value> {
    values.0.get("default-address-pools").and_then(Value::as_array).into_iter().flatten()
}

fn is_ipv6(item: &Value) -> bool {
    item.as_str().or_else(|| item["base"].as_str()).is_some_and(|text| text.contains(':'))
}

fn pool(item: &Value) -> Option<AddressPool> {
    let (base, size) = parts(item)?;
    (base.prefix()..=30).contains(&size).then_some(AddressPool { base, size })
}

fn parts<A: Address>(item: &Value) -> Option<(Cidr<A>, u8)> {
    let (base, size) = match item {
        Value::String(text) => {
            let find = |key: &str| text.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            (find("base")?.to_owned(), find("size")?.parse().ok()?)
        }
        object => (object.get("base")?.as_str()?.to_owned(), object.get("size")?.as_u64()?),
    };
    let (_, base) = Cidr::parse_with_address(&base).ok()?;
    Some((base, u8::try_from(size).ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pools_in_both_forms() {
        assert_eq!(pool(&json!("base=10.0.0.0/8,size=24")), pool(&json!({"base": "10.0.0.0/8", "size": 24})));
        assert!(pool(&json!({"base": "10.0.0.0/8", "size": 24})).is_some());
        for bad in [
            json!("size=24"),
            json!({"base": "10.0.0.0/8", "size": 31}),
            json!({"base": "10.0.0.0/24", "size": 16}),
            json!(3),
        ] {
            assert!(pool(&bad).is_none(), "{bad}");
        }
    }
}
