//! What is kept on disk of networks and endpoints.
//!
//! ```text
//! record table "network"    summary = body = NetworkRecord     on stable storage: networks survive a power cut
//! record table "endpoint"   summary = body = EndpointRecord    survives a killed daemon; a power cut ends them anyway
//! record table "setting"    a kernel setting's value before the engine changed it
//! ```

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use berth_kit::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{cidr::Cidr, firewall::PortRule, port::PublishedPort};

/// Table of networks.
pub const NETWORKS: &str = "network";
/// Table of endpoints.
pub const ENDPOINTS: &str = "endpoint";
/// Table of kernel settings.
pub const SETTINGS: &str = "setting";
/// Version of the forms below.
pub const VERSION: u32 = 1;

/// One subnet of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// All its addresses.
    pub subnet: Cidr,
    /// The bridge's own address in it.
    pub gateway: Ipv4Addr,
    /// Where containers' addresses come from, when not from all of it.
    pub ip_range: Option<Cidr>,
    /// Addresses that are never given out, by name.
    #[serde(default)]
    pub aux_addresses: BTreeMap<String, Ipv4Addr>,
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// Form of this record.
    pub version: u32,
    /// Full identifier.
    pub id: String,
    /// Unique name.
    pub name: String,
    /// `bridge`, `host`, `null`.
    pub driver: String,
    /// When it was made.
    pub created: Timestamp,
    /// Its subnet; none for `host` and `null`.
    pub subnet: Option<Subnet>,
    /// Name of its link on the host; empty for `host` and `null`.
    pub bridge: String,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// No way out and no way in.
    pub internal: bool,
    /// Containers may be connected by hand.
    pub attachable: bool,
    /// Containers may talk to each other.
    pub icc: bool,
    /// Containers leave with the host's address.
    pub masquerade: bool,
    /// Address that ports are published on when none is named.
    pub host_binding_ip: Ipv4Addr,
    /// The driver's options as they were given.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// The address management's options as they were given.
    #[serde(default)]
    pub ipam_options: BTreeMap<String, String>,
    /// Labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl NetworkRecord {
    /// Whether it is one of the three that always exist.
    #[must_use]
    pub fn is_predefined(&self) -> bool {
        matches!(self.name.as_str(), "bridge" | "host" | "none")
    }

    /// Whether ports of its containers can be published on the host.
    #[must_use]
    pub fn publishes(&self) -> bool {
        self.driver == "bridge" && !self.internal
    }
}

/// A container's place on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// Form of this record.
    pub version: u32,
    /// Full identifier.
    pub id: String,
    /// The network.
    pub network_id: String,
    /// The container.
    pub container_id: String,
    /// Its name when it joined.
    pub container_name: String,
    /// The link's name inside the container.
    pub ifname: String,
    /// The link's name on the host; empty where there is none.
    pub host_ifname: String,
    /// Hardware address inside.
    pub mac: [u8; 6],
    /// Address inside; none for `host` and `null`.
    pub ipv4: Option<Ipv4Addr>,
    /// Whether the container's default route goes this way.
    pub is_gateway: bool,
    /// Its claim to be the way out, beside the container's other endpoints.
    #[serde(default)]
    pub gateway_priority: i64,
    /// Other names of the container on this network.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// The container's host name; may be empty.
    #[serde(default)]
    pub host_name: String,
    /// Containers that this one alone finds under names of its own: (container, name).
    #[serde(default)]
    pub links: Vec<(String, String)>,
    /// The driver's options as they were given.
    #[serde(default)]
    pub driver_options: BTreeMap<String, String>,
    /// Ports published through this endpoint.
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
}

impl EndpointRecord {
    /// The packet rules of its IPv4 ports.
    #[must_use]
    pub fn port_rules(&self) -> Vec<PortRule> {
        let Some(ipv4) = self.ipv4 else { return Vec::new() };
        let rule = |port: &PublishedPort| {
            let IpAddr::V4(host_ip) = port.host_ip else { return None };
            Some(PortRule {
                protocol: port.protocol,
                host_ip,
                host_port: port.host_port,
                target: std::net::SocketAddrV4::new(ipv4, port.container_port),
            })
        };
        self.ports.iter().filter_map(rule).collect()
    }
}

/// Text of a hardware address: `02:42:ac:11:00:02`.
#[must_use]
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Reads a hardware address of six bytes, separated by `:` or `-`.
#[must_use]
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}
