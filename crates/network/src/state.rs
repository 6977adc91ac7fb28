//! What exists at this moment, in memory: read from the records once, and kept beside them.

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv6Addr,
};

use berth_kit::id;
use berth_record::Store;

use crate::{
    Error, Result,
    cidr::Address,
    driver::cni,
    firewall::{BridgeRules, Desired, PortRule},
    ipam::Pool,
    port::{Holder, Ports},
    record::{self, EndpointRecord, GatewayMode, NetworkRecord, Subnet},
};

/// What exists. A pool belongs to each subnet of a network.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub networks: BTreeMap<String, NetworkRecord>,
    pub endpoints: BTreeMap<String, EndpointRecord>,
    /// Endpoints without ports and rules, whose links are about to go.
    pub leaving: BTreeMap<String, EndpointRecord>,
    pub pools: HashMap<String, Pool>,
    pub pools6: HashMap<String, Pool<Ipv6Addr>>,
    pub ports: Ports,
    /// Whether the packet rules were installed.
    pub installed: bool,
}

impl State {
    pub fn read(store: &Store) -> Result<Self> {
        let mut state = Self::default();
        let (networks, bad_networks) = store.summaries::<NetworkRecord>(record::NETWORKS)?;
        let (endpoints, bad_endpoints) = store.summaries::<EndpointRecord>(record::ENDPOINTS)?;
        for error in bad_networks.iter().chain(&bad_endpoints) {
            tracing::error!(%error, "record left out");
        }
        networks.into_iter().for_each(|(_, network)| state.add_network(network));
        for (_, endpoint) in endpoints {
            if !state.retake(&endpoint) {
                tracing::warn!(endpoint = endpoint.id, "address of an endpoint is outside its network, or used twice");
            }
            for port in &endpoint.ports {
                state.ports.hold(port, &Holder::new(&endpoint.container_id, &endpoint.container_name));
            }
            state.endpoints.insert(endpoint.id.clone(), endpoint);
        }
        Ok(state)
    }

    /// Marks the addresses of a known endpoint as taken; whether they were free.
    fn retake(&mut self, endpoint: &EndpointRecord) -> bool {
        let id = &endpoint.network_id;
        let ipv4 = endpoint.ipv4.and_then(|ipv4| Some(self.pools.get_mut(id)?.take(ipv4).is_ok()));
        let ipv6 = endpoint.ipv6.and_then(|ipv6| Some(self.pools6.get_mut(id)?.take(ipv6).is_ok()));
        ipv4.unwrap_or(true) && ipv6.unwrap_or(true)
    }

    /// Takes a network in, with pools in which its gateway and auxiliary addresses are taken.
    pub fn add_network(&mut self, network: NetworkRecord) {
        let on_network = || self.endpoints.values().filter(|endpoint| endpoint.network_id == network.id);
        let pool = network.subnet.as_ref().map(|subnet| pool_of(subnet, on_network().filter_map(|e| e.ipv4)));
        let pool6 = network.subnet6.as_ref().map(|subnet| pool_of(subnet, on_network().filter_map(|e| e.ipv6)));
        self.pools.extend(pool.map(|pool| (network.id.clone(), pool)));
        self.pools6.extend(pool6.map(|pool| (network.id.clone(), pool)));
        self.networks.insert(network.id.clone(), network);
    }

    /// Takes a network out.
    pub fn remove_network(&mut self, id: &str) {
        self.networks.remove(id);
        self.pools.remove(id);
        self.pools6.remove(id);
    }

    pub fn has_name(&self, name: &str) -> bool {
        self.networks.values().any(|network| network.name == name)
    }

    pub fn resolve(&self, wanted: &str) -> Result<&NetworkRecord> {
        let wanted = if wanted == "default" { "bridge" } else { wanted };
        if let Some(network) = self.networks.get(wanted) {
            return Ok(network);
        }
        if let Some(network) = self.networks.values().find(|network| network.name == wanted) {
            return Ok(network);
        }
        let not_found = || Error::NotFound { name: wanted.to_owned() };
        if !id::is_prefix(wanted) {
            return Err(not_found());
        }
        let matches: Vec<_> = self.networks.values().filter(|network| network.id.starts_with(wanted)).collect();
        match matches.as_slice() {
            [] => Err(not_found()),
            [one] => Ok(one),
            many => Err(Error::Ambiguous { name: wanted.to_owned(), count: many.len() }),
        }
    }

    /// What the packet rules should be.
    pub fn desired(&self) -> Desired {
        Desired {
            bridges: self.networks.values().filter_map(bridge_rules).collect(),
            ports: self.endpoints.values().flat_map(|endpoint| self.port_rules(endpoint)).collect(),
        }
    }

    /// The packet rules of an endpoint's ports on its network.
    pub fn port_rules(&self, endpoint: &EndpointRecord) -> Vec<PortRule> {
        let mut rules = endpoint.port_rules();
        let Some(network) = self.networks.get(&endpoint.network_id) else { return rules };
        if network.driver == "cni" && cni::publishes(network) {
            return Vec::new();
        }
        for rule in &mut rules {
            let mode = if rule.host_ip.is_ipv4() { network.gateway_mode } else { network.gateway_mode6 };
            rule.routed = mode == GatewayMode::Routed;
        }
        rules
    }
}

fn pool_of<A: Address>(subnet: &Subnet<A>, used: impl Iterator<Item = A>) -> Pool<A> {
    let mut pool = Pool::new(subnet.subnet, subnet.ip_range);
    for address in subnet.aux_addresses.values().copied().chain([subnet.gateway]).chain(used) {
        // An address that is kept back anyway needs no keeping.
        let _ = pool.take(address);
    }
    pool
}

/// The packet rules of a network; none for networks without a bridge.
pub(crate) fn bridge_rules(network: &NetworkRecord) -> Option<BridgeRules> {
    if network.driver != "bridge" || !network.is_wired() {
        return None;
    }
    let open = |mode| matches!(mode, GatewayMode::NatUnprotected);
    let nat = |mode| matches!(mode, GatewayMode::Nat | GatewayMode::NatUnprotected);
    Some(BridgeRules {
        bridge: network.bridge.clone(),
        subnet: network.subnet.as_ref().map(|subnet| subnet.subnet),
        subnet6: network.subnet6.as_ref().map(|subnet| subnet.subnet),
        masquerade: network.masquerade && nat(network.gateway_mode),
        masquerade6: network.masquerade && nat(network.gateway_mode6),
        routed: network.gateway_mode == GatewayMode::Routed,
        routed6: network.gateway_mode6 == GatewayMode::Routed,
        open: open(network.gateway_mode),
        open6: open(network.gateway_mode6),
        talking: network.icc,
        internal: network.internal,
    })
}
