//! What the daemon's configuration says about networks (`daemon.json`, dockerd's flags).

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::cidr::{Address, Cidr};

const DEFAULT_BRIDGE: &str = "berth0";

/// A range of addresses from which networks get subnets of `size` bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPool<A: Address = Ipv4Addr> {
    /// The range.
    pub base: Cidr<A>,
    /// Prefix length of each network's subnet, in bits.
    pub size: u8,
}

/// Configuration of the networks. The default is what the daemon does with no configuration.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// Link of the default bridge network (`--bridge`); `none` for no default bridge network.
    pub bridge_name: String,
    /// Address and subnet of the default bridge (`--bip`).
    pub bip: Option<(Ipv4Addr, Cidr)>,
    /// Where containers of the default bridge get their addresses (`--fixed-cidr`), when not from all of its subnet.
    pub fixed_cidr: Option<Cidr>,
    /// Where networks without a subnet of their own get one (`default-address-pools`).
    pub default_pools: Vec<AddressPool>,
    /// Where networks with IPv6 get a subnet (`default-address-pools`); a prefix of the engine's own when empty.
    pub default_pools6: Vec<AddressPool<Ipv6Addr>>,
    /// Whether the default bridge has IPv6 (`--ipv6`).
    pub ipv6: bool,
    /// IPv6 subnet of the default bridge (`--fixed-cidr-v6`), and its own address there (`--bip6`).
    pub bip6: Option<(Ipv6Addr, Cidr<Ipv6Addr>)>,
    /// Whether published ports obey the host's rules for its own ports (`"publish-policy": "respect-host-input"`).
    pub respect_host_input: bool,
    /// Largest packet on the default bridge, in bytes (`--mtu`).
    pub mtu: u32,
    /// Whether the engine installs packet rules (`--iptables`).
    pub firewall: bool,
    /// Whether the engine turns forwarding on (`--ip-forward`).
    pub ip_forward: bool,
    /// Whether containers of the default bridge leave with the host's address (`--ip-masq`).
    pub ip_masq: bool,
    /// Whether containers of the default bridge may talk to each other (`--icc`).
    pub icc: bool,
    /// The process that carries `[::]:port` of the host where the kernel cannot; none, and it is not carried.
    pub relay: Option<crate::relay::RelayProcess>,
    /// Whether `[::]:port` of the host is relayed to published ports (`--userland-proxy`).
    pub userland_proxy: bool,
    /// Address that ports are published on when none is named (`--ip`).
    pub host_binding_ip: Ipv4Addr,
    /// Name of the nftables table (see [`Self::table_name`]).
    pub table: String,
}

impl NetworkConfig {
    /// The nftables table in use: `table`, with the bridge's name behind it when that is not the default, so that
    /// engines with bridges of their own can share a host.
    #[must_use]
    pub fn table_name(&self) -> String {
        if self.bridge_name == DEFAULT_BRIDGE {
            return self.table.clone();
        }
        format!("{}-{}", self.table, self.bridge_name)
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        let pool =
            |a, b, prefix, size| Cidr::new(Ipv4Addr::new(a, b, 0, 0), prefix).map(|base| AddressPool { base, size });
        let sixteens = (17..32).filter_map(|second| pool(172, second, 16, 16));
        Self {
            bridge_name: DEFAULT_BRIDGE.to_owned(),
            bip: None,
            default_pools: sixteens.chain(pool(192, 168, 16, 20)).collect(),
            fixed_cidr: None,
            default_pools6: Vec::new(),
            ipv6: false,
            bip6: None,
            respect_host_input: false,
            mtu: 1500,
            firewall: true,
            ip_forward: true,
            ip_masq: true,
            icc: true,
            relay: None,
            userland_proxy: true,
            host_binding_ip: Ipv4Addr::UNSPECIFIED,
            table: "berth".to_owned(),
        }
    }
}
