//! What is kept on disk of networks and endpoints.
//!
//! ```text
//! record table "network"    summary = body = NetworkRecord     on stable storage: networks survive a power cut
//! record table "endpoint"   summary = body = EndpointRecord    survives a killed daemon; a power cut ends them anyway
//! record table "setting"    a kernel setting's value before the engine changed it
//! ```

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use berth_kit::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    cidr::{Address, Cidr},
    firewall::PortRule,
    netlink::qdisc::parse_rate,
    port::PublishedPort,
};

/// Table of networks.
pub const NETWORKS: &str = "network";
/// Table of endpoints.
pub const ENDPOINTS: &str = "endpoint";
/// Table of kernel settings.
pub const SETTINGS: &str = "setting";
/// Driver option of an endpoint: the most that may come in, as [`parse_rate`] reads it.
pub const RATE_IN: &str = "berth.rate-in";
/// Driver option of an endpoint: the most that may go out.
pub const RATE_OUT: &str = "berth.rate-out";
/// Version of the forms below.
pub const VERSION: u32 = 1;

/// A network's subnet of one family.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "A: Address + Serialize + serde::de::DeserializeOwned")]
pub struct Subnet<A: Address = Ipv4Addr> {
    /// All its addresses.
    pub subnet: Cidr<A>,
    /// The bridge's own address in it; with other drivers that of the router.
    pub gateway: A,
    /// Where containers' addresses come from, when not from all of it.
    pub ip_range: Option<Cidr<A>>,
    /// Addresses that are never given out, by name.
    #[serde(default)]
    pub aux_addresses: BTreeMap<String, A>,
}

/// How packets of one family get from a bridge to the world and back (`com.docker.network.bridge.gateway_mode_*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatewayMode {
    /// They leave with the host's address; published ports lead in.
    #[default]
    Nat,
    /// As `nat`, and whoever routes to the subnet reaches every port.
    NatUnprotected,
    /// They leave with their own address, and published ports are open at the container's address.
    Routed,
    /// The bridge has no address: its containers see only each other.
    Isolated,
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
    /// `bridge`, `macvlan`, `ipvlan`, `cni`, `host`, `null`.
    pub driver: String,
    /// When it was made.
    pub created: Timestamp,
    /// Its IPv4 subnet; none for `host` and `null`, and for networks of IPv6 alone.
    pub subnet: Option<Subnet>,
    /// Its IPv6 subnet.
    #[serde(default)]
    pub subnet6: Option<Subnet<Ipv6Addr>>,
    /// How its IPv4 packets get out and in.
    #[serde(default)]
    pub gateway_mode: GatewayMode,
    /// How its IPv6 packets get out and in.
    #[serde(default)]
    pub gateway_mode6: GatewayMode,
    /// Name of its bridge on the host; with macvlan and ipvlan of the link it hangs on; with cni the path of its list of
    /// plugins; empty for `host` and `null`.
    pub bridge: String,
    /// Somebody else made the bridge, and it stays when the network goes.
    #[serde(default)]
    pub bridge_is_foreign: bool,
    /// The bridge has no IPv4 address: the gateway is another machine.
    #[serde(default)]
    pub inhibit_ipv4: bool,
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
    /// It is no network but the settings of others, which are made from it (`--config-only`).
    #[serde(default)]
    pub template: Option<Template>,
    /// The network of settings that it was made from (`--config-from`).
    #[serde(default)]
    pub config_from: String,
}

/// What networks made from a network of settings have from it, beside options and labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Subnets as they were asked for.
    pub subnets: Vec<crate::SubnetRequest>,
    /// IPv6 beside IPv4.
    pub enable_ipv6: bool,
    /// No IPv4.
    pub disable_ipv4: bool,
    /// No way out and no way in.
    pub internal: bool,
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
        matches!(self.driver.as_str(), "bridge" | "cni") && !self.internal
    }

    /// Whether its containers have links and addresses.
    #[must_use]
    pub fn is_wired(&self) -> bool {
        self.subnet.is_some() || self.subnet6.is_some()
    }

    /// Whether containers of it can leave through it.
    #[must_use]
    pub fn leads_out(&self) -> bool {
        let isolated = |mode| mode == GatewayMode::Isolated;
        !self.internal && self.is_wired() && !(isolated(self.gateway_mode) && isolated(self.gateway_mode6))
    }

    /// The address that its ports are published on when none is named.
    #[must_use]
    pub fn default_host_ip(&self) -> IpAddr {
        let only_ipv6 = self.subnet.is_none() && self.subnet6.is_some();
        if only_ipv6 && self.host_binding_ip.is_unspecified() {
            return Ipv6Addr::UNSPECIFIED.into();
        }
        self.host_binding_ip.into()
    }
}

/// What a driver that chooses addresses itself gave an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Address and prefix length in bits.
    pub ipv4: Option<(Ipv4Addr, u8)>,
    /// Where packets go from there.
    pub gateway: Option<Ipv4Addr>,
    /// Address and prefix length in bits.
    pub ipv6: Option<(Ipv6Addr, u8)>,
    /// Where packets go from there.
    pub gateway6: Option<Ipv6Addr>,
    /// Hardware address of the link inside.
    pub mac: Option<[u8; 6]>,
    /// What the driver wants back when the endpoint ends.
    pub state: String,
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
    /// IPv4 address inside; none for `host` and `null`.
    pub ipv4: Option<Ipv4Addr>,
    /// IPv6 address inside.
    #[serde(default)]
    pub ipv6: Option<Ipv6Addr>,
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
    /// What its driver chose.
    #[serde(default)]
    pub given: Option<Given>,
    /// Ports published through this endpoint.
    #[serde(default)]
    pub ports: Vec<PublishedPort>,
}

impl EndpointRecord {
    /// The packet rules of its ports, but those that are [relayed](Self::is_relayed), as on a network with NAT.
    #[must_use]
    pub fn port_rules(&self) -> Vec<PortRule> {
        let rule = |port: &PublishedPort| {
            let own: IpAddr = if port.host_ip.is_ipv4() { self.ipv4?.into() } else { self.ipv6?.into() };
            Some(PortRule {
                protocol: port.protocol,
                host_ip: port.host_ip,
                host_port: port.host_port,
                target: SocketAddr::new(own, port.container_port),
                routed: false,
            })
        };
        self.ports.iter().filter_map(rule).collect()
    }

    /// Whether a port is carried on by a process: the kernel cannot lead IPv6 to an address of IPv4.
    #[must_use]
    pub fn is_relayed(&self, port: &PublishedPort) -> bool {
        port.host_ip.is_ipv6() && self.ipv6.is_none()
    }

    /// The most that may come in and go out, in bits per second.
    #[must_use]
    pub fn rates(&self) -> (Option<u64>, Option<u64>) {
        let rate = |key| self.driver_options.get(key).and_then(|text| parse_rate(text));
        (rate(RATE_IN), rate(RATE_OUT))
    }

    /// Whether it has a link and addresses.
    #[must_use]
    pub fn is_wired(&self) -> bool {
        self.ipv4.is_some() || self.ipv6.is_some()
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
