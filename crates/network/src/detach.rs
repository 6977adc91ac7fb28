//! A container leaves its networks: ports first, so that nobody is led to an address that is about to be free.

use std::{collections::BTreeMap, sync::Arc};

use berth_kit::id;

use crate::{
    Error, Result,
    networks::{Networks, Shared, blocking},
    record::{EndpointRecord, NetworkRecord},
};

impl Networks {
    /// Takes a container off all its networks; one that is on none is no error.
    ///
    /// # Errors
    /// The first failure; the rest is done all the same.
    pub async fn detach(&self, container_id: &str) -> Result<()> {
        let mut outcome = Ok(());
        for endpoint in self.endpoints(container_id) {
            outcome = outcome.and(self.leave(endpoint).await);
        }
        outcome
    }

    /// Takes a container off one network.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotConnected`], or what the kernel refuses.
    pub async fn disconnect(&self, network: &str, container_id: &str) -> Result<()> {
        let network = self.inspect(network)?;
        let found = network.endpoints.into_iter().find(|endpoint| endpoint.container_id == container_id);
        let endpoint = found.ok_or_else(|| Error::NotConnected {
            container: id::short(container_id).to_owned(),
            network: network.network.name.clone(),
        })?;
        self.leave(endpoint).await
    }

    async fn leave(&self, endpoint: EndpointRecord) -> Result<()> {
        for port in endpoint.ports.iter().filter(|port| port.host_ip.is_ipv6()) {
            self.shared.relays.close(port);
        }
        let shared = Arc::clone(&self.shared);
        let (container, network_id) = (endpoint.container_id.clone(), endpoint.network_id.clone());
        let outcome = blocking(move || shared.leave(&endpoint)).await;
        let network = self.shared.lock().networks.get(&network_id).cloned();
        if let Some(network) = network {
            self.publish_left(&network, container);
        }
        outcome
    }

    fn publish_left(&self, network: &NetworkRecord, container: String) {
        let attributes = [("container", container), ("name", network.name.clone()), ("type", network.driver.clone())];
        let attributes = BTreeMap::from(attributes.map(|(key, value)| (key.to_owned(), value)));
        self.shared.bus.publish("network", "disconnect", &network.id, attributes);
    }
}

impl Shared {
    /// Undoes an endpoint: rules, links, record. What fails is left to [`Networks::recover`], but the record goes only
    /// when the links are gone.
    pub fn leave(&self, endpoint: &EndpointRecord) -> Result<()> {
        let rules = endpoint.port_rules();
        // Out of the state first: an installation of all rules from now on leaves these ports out.
        let network = {
            let mut state = self.lock();
            if state.endpoints.remove(&endpoint.id).is_none() {
                return Ok(()); // Somebody else is at it.
            }
            state.networks.get(&endpoint.network_id).cloned()
        };
        let withdrawn = if rules.is_empty() { Ok(()) } else { self.change_rules(|firewall| firewall.withdraw(&rules)) };
        let left = network.map_or(Ok(()), |network| self.driver(&network).leave(&network, endpoint));
        if left.is_ok() {
            self.forget(endpoint);
        } else {
            self.lock().endpoints.insert(endpoint.id.clone(), endpoint.clone());
        }
        withdrawn.and(left)
    }
}
