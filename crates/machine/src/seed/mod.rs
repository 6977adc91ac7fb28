//! The seed that cloud-init reads: a small read-only image called `cidata` (cloudinit.readthedocs.io, "NoCloud").
//!
//! What the definition does not say is made here: `meta-data` from uuid and name, `network-config` (version 2) from the
//! addresses that the machine has on the engine's networks, found by its devices' hardware addresses.

pub mod iso;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::record::{CloudInit, Definition};

/// What a machine was given on one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Its device's hardware address.
    pub mac: String,
    /// Addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// The way out.
    pub gateways: Vec<IpAddr>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
}

/// The image for a machine with these addresses.
#[must_use]
pub fn image(machine: &Definition, seed: &CloudInit, addresses: &[Address]) -> Vec<u8> {
    let meta_data = seed.meta_data.clone().unwrap_or_else(|| {
        // Both are checked words: nothing in them has a meaning of its own in YAML.
        format!("instance-id: {}\nlocal-hostname: \"{}\"\n", machine.uuid, machine.name)
    });
    let network = seed.network_config.clone().or_else(|| network_config(machine, addresses));
    let mut files = vec![("meta-data", meta_data.as_bytes()), ("user-data", seed.user_data.as_bytes())];
    files.extend(network.as_deref().map(|text| ("network-config", text.as_bytes())));
    files.sort_by_key(|(name, _)| *name);
    iso::image("cidata", &files)
}

fn network_config(machine: &Definition, addresses: &[Address]) -> Option<String> {
    if machine.networks.is_empty() {
        return None;
    }
    let mut text = "version: 2\nethernets:\n".to_owned();
    for (index, nic) in machine.networks.iter().enumerate() {
        let mac = nic.mac.to_ascii_lowercase();
        text.push_str(&format!("  eth{index}:\n    match:\n      macaddress: \"{mac}\"\n    set-name: eth{index}\n"));
        let found = addresses.iter().find(|address| address.mac.eq_ignore_ascii_case(&mac));
        let Some(found) = found else {
            // In user mode QEMU answers DHCP.
            text.push_str("    dhcp4: true\n");
            continue;
        };
        let list = |items: Vec<String>| items.iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ");
        let own = found.addresses.iter().map(|(address, prefix)| format!("{address}/{prefix}")).collect();
        text.push_str(&format!("    dhcp4: false\n    addresses: [{}]\n", list(own)));
        if !found.gateways.is_empty() {
            text.push_str("    routes:\n");
        }
        for gateway in &found.gateways {
            let everything = match gateway {
                IpAddr::V4(_) => format!("{}/0", Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => format!("{}/0", Ipv6Addr::UNSPECIFIED),
            };
            text.push_str(&format!("      - to: \"{everything}\"\n        via: \"{gateway}\"\n"));
        }
        if !found.dns.is_empty() {
            let servers = list(found.dns.iter().map(ToString::to_string).collect());
            text.push_str(&format!("    nameservers:\n      addresses: [{servers}]\n"));
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_a_network_configuration() {
        let text = "name = \"one\"\n[[networks]]\nnetwork = \"a\"\nmac = \"52:54:00:AA:00:01\"\n\
                    [[networks]]\nnetwork = \"b\"\nmac = \"52:54:00:aa:00:02\"";
        let machine = Definition::parse(text).expect("valid");
        let address = Address {
            mac: "52:54:00:aa:00:01".into(),
            addresses: vec![("10.0.0.2".parse().expect("ip"), 24), ("fd00::2".parse().expect("ip"), 64)],
            gateways: vec!["10.0.0.1".parse().expect("ip")],
            dns: vec!["9.9.9.9".parse().expect("ip")],
        };
        let text = network_config(&machine, &[address]).expect("networks");
        assert_eq!(
            text,
            "version: 2\nethernets:\n  eth0:\n    match:\n      macaddress: \"52:54:00:aa:00:01\"\n    set-name: eth0\n    \
             dhcp4: false\n    addresses: [\"10.0.0.2/24\", \"fd00::2/64\"]\n    routes:\n      - to: \"0.0.0.0/0\"\n        \
             via: \"10.0.0.1\"\n    nameservers:\n      addresses: [\"9.9.9.9\"]\n  eth1:\n    match:\n      \
             macaddress: \"52:54:00:aa:00:02\"\n    set-name: eth1\n    dhcp4: true\n"
        );
    }
}
