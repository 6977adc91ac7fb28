//! The networks that the flags of `run` and `create` name together.

use crate::grammar::Flags;
use crate::option::network::{self, Attachment};
use serde_json::{Map, Value};

/// All `--network`, the flags of the old short form applied to the first.
///
/// # Errors
/// Docker's text for what contradicts itself.
pub fn read(flags: &Flags) -> Result<Vec<Attachment>, String> {
    let mut networks = flags.list("network").map(network::parse).collect::<Result<Vec<_>, _>>()?;
    let mac = flags.text("mac-address");
    if !mac.is_empty() && !network::is_mac(mac) {
        return Err(format!("{mac} is not a valid mac address"));
    }
    for (at, one) in networks.iter().enumerate() {
        if networks[..at].iter().any(|other| other.target == one.target) {
            return Err(format!("network {:?} is specified multiple times", one.target));
        }
        if networks.len() > 1 && one.is_mode() {
            return Err(
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes".into()
            );
        }
    }
    let extra = ["ip", "ip6", "network-alias", "link-local-ip"].iter().any(|flag| flags.given(flag));
    let rates = [("net-rate-in", "berth.rate-in"), ("net-rate-out", "berth.rate-out")];
    let limited = rates.iter().any(|(flag, _)| flags.given(flag));
    if networks.is_empty() && (extra || limited || !mac.is_empty()) {
        networks.push(Attachment { target: "default".into(), ..Attachment::default() });
    }
    for (flag, option) in rates.into_iter().filter(|(flag, _)| flags.given(flag)) {
        if let Some(mode) = networks.iter().find(|network| network.is_mode()) {
            return Err(format!("conflicting options: --{flag} and the network mode {}", mode.target));
        }
        for network in &mut networks {
            network.driver_options.insert(option.to_owned(), flags.text(flag).into());
        }
    }
    let Some(first) = networks.first_mut() else { return Ok(networks) };
    let own = !first.is_mode() && !matches!(first.target.as_str(), "default" | "bridge");
    if !own && flags.given("network-alias") {
        return Err("network-scoped aliases are only supported for user-defined networks".into());
    }
    let conflict = |kind: &str| format!("conflicting options: cannot specify both --{kind} and per-network {kind}");
    if flags.given("network-alias") && !first.aliases.is_empty() {
        return Err("conflicting options: cannot specify both --network-alias and per-network alias".into());
    }
    if flags.given("ip") && !first.ipv4.is_empty() {
        return Err("conflicting options: cannot specify both --ip and per-network IPv4 address".into());
    }
    if flags.given("ip6") && !first.ipv6.is_empty() {
        return Err("conflicting options: cannot specify both --ip6 and per-network IPv6 address".into());
    }
    if !mac.is_empty() && !first.mac.is_empty() {
        return Err(conflict("mac-address"));
    }
    if own {
        first.links.extend(flags.strings("link"));
    }
    first.aliases.extend(flags.strings("network-alias"));
    first.link_local.extend(flags.strings("link-local-ip"));
    for (flag, field) in [("ip", &mut first.ipv4), ("ip6", &mut first.ipv6), ("mac-address", &mut first.mac)] {
        if flags.given(flag) {
            flags.text(flag).clone_into(field);
        }
    }
    Ok(networks)
}

/// `EndpointsConfig`: the settings of each network that has any.
#[must_use]
pub fn endpoints(networks: &[Attachment]) -> Map<String, Value> {
    let joins = networks.iter().filter(|n| !n.is_mode());
    joins
        .map(|n| (n.target.clone(), n.endpoint()))
        .filter(|(_, e)| e.as_object().is_some_and(|o| !o.is_empty()) || networks.len() > 1)
        .collect()
}
