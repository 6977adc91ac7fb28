//! What exists at this moment, in memory: read from the records once, and kept beside them.

use std::collections::{BTreeMap, HashMap};

use berth_kit::id;
use berth_record::Store;

use crate::{
    Error, Result,
    firewall::{BridgeRules, Desired},
    ipam::Pool,
    port::{Holder, Ports},
    record::{self, EndpointRecord, NetworkRecord},
};

/// What exists. A pool belongs to each network that has a subnet.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub networks: BTreeMap<String, NetworkRecord>,
    pub endpoints: BTreeMap<String, EndpointRecord>,
    /// Endpoints without ports and rules, whose links are about to go.
    pub leaving: BTreeMap<String, EndpointRecord>,
    pub pools: HashMap<String, Pool>,
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
            if let (Some(pool), Some(ipv4)) = (state.pools.get_mut(&endpoint.network_id), endpoint.ipv4)
                && pool.take(ipv4).is_err()
            {
                tracing::warn!(endpoint = endpoint.id, %ipv4, "address of an endpoint is outside its network, or used twice");
            }
            for port in &endpoint.ports {
                state.ports.hold(port, &Holder::new(&endpoint.container_id, &endpoint.container_name));
            }
            state.endpoints.insert(endpoint.id.clone(), endpoint);
        }
        Ok(state)
    }

    /// Takes a network in, with a pool in which its gateway and auxiliary addresses are taken.
    pub fn add_network(&mut self, network: NetworkRecord) {
        if let Some(subnet) = &network.subnet {
            let mut pool = Pool::new(subnet.subnet, subnet.ip_range);
            let on_network = self.endpoints.values().filter(|endpoint| endpoint.network_id == network.id);
            let kept = subnet.aux_addresses.values().copied().chain([subnet.gateway]);
            for address in kept.chain(on_network.filter_map(|endpoint| endpoint.ipv4)) {
                // An address that is kept back anyway needs no keeping.
                let _ = pool.take(address);
            }
            self.pools.insert(network.id.clone(), pool);
        }
        self.networks.insert(network.id.clone(), network);
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
            ports: self.endpoints.values().flat_map(EndpointRecord::port_rules).collect(),
        }
    }
}

/// The packet rules of a network; none for `host` and `none`.
pub(crate) fn bridge_rules(network: &NetworkRecord) -> Option<BridgeRules> {
    let subnet = network.subnet.as_ref().filter(|_| network.driver == "bridge")?;
    Some(BridgeRules {
        bridge: network.bridge.clone(),
        subnet: subnet.subnet,
        masquerade: network.masquerade,
        talking: network.icc,
        internal: network.internal,
    })
}
