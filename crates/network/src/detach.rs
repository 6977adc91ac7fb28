//! A container leaves its networks: ports first, so that nobody is led to an address that is about to be free; links
//! go in the background.

use std::{collections::BTreeMap, os::fd::AsFd as _, sync::Arc};

use berth_kit::id;

use crate::{
    Error, Netns, Result,
    networks::{Networks, Shared, blocking},
    record::{EndpointRecord, NetworkRecord},
    settle::At,
};

impl Networks {
    /// Takes a container off all its networks; one that is on none is no error. Its ports and names are free on return;
    /// its links go within some milliseconds, and with them its addresses become free (see [`Networks::settle`]).
    ///
    /// # Errors
    /// The first failure; the rest is done all the same.
    pub async fn detach(&self, container_id: &str) -> Result<()> {
        let mut outcome = Ok(());
        for endpoint in self.endpoints(container_id) {
            outcome = outcome.and(self.leave(endpoint, At::Leisure).await);
        }
        outcome
    }

    /// Takes a running container, whose network namespace is `netns`, off one network; the link is gone on return. Its
    /// published ports and its default route move to another of its networks, where it has one with a way out.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotConnected`], or what the kernel refuses.
    pub async fn disconnect(&self, network: &str, container_id: &str, netns: Option<Netns>) -> Result<()> {
        let network = self.inspect(network)?;
        let found = network.endpoints.into_iter().find(|endpoint| endpoint.container_id == container_id);
        let mut endpoint = found.ok_or_else(|| Error::NotConnected {
            container: id::short(container_id).to_owned(),
            network: network.network.name.clone(),
        })?;
        let heir = self.shared.lock().heir(&endpoint);
        if let Some(heir) = heir.filter(|_| !endpoint.ports.is_empty()) {
            let shared = Arc::clone(&self.shared);
            let mut heir =
                blocking(move || shared.move_ports(&mut endpoint, heir).map(|heir| (endpoint, heir))).await?;
            self.shared.relay(&mut heir.1).await;
            endpoint = heir.0;
        }
        let endpoint_id = endpoint.id.clone();
        let unplugged = match &netns {
            Some(netns) => {
                let (shared, network, leaving) = (Arc::clone(&self.shared), network.network, endpoint.clone());
                let netns = netns.clone();
                blocking(move || shared.driver(&network).unplug(&network, &leaving, netns.open()?.as_fd())).await
            }
            None => Ok(()),
        };
        let outcome = self.leave(endpoint, At::Once).await;
        self.settle_those(|leaving| leaving.id == endpoint_id).await;
        let (shared, container_id) = (Arc::clone(&self.shared), container_id.to_owned());
        blocking(move || {
            shared.elect(&container_id, netns.as_ref());
            Ok(())
        })
        .await?;
        unplugged.and(outcome)
    }

    pub(crate) async fn leave(&self, endpoint: EndpointRecord, at: At) -> Result<()> {
        for port in &endpoint.ports {
            self.shared.relays.close(port);
        }
        let shared = Arc::clone(&self.shared);
        let endpoint_id = endpoint.id.clone();
        let withdrawn = blocking(move || Ok(shared.withdraw(&endpoint_id))).await?;
        let Some(outcome) = withdrawn else { return Ok(()) };
        self.shared.depart(endpoint.clone(), at);
        let network = self.shared.lock().networks.get(&endpoint.network_id).cloned();
        self.shared.announce(&endpoint.network_id);
        if let Some(network) = network {
            self.publish_left(&network, endpoint.container_id);
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
    /// Takes an endpoint out of the state, and its ports out of the packet rules; `None` when somebody else is at it.
    pub fn withdraw(&self, endpoint_id: &str) -> Option<Result<()>> {
        let endpoint = {
            let mut state = self.lock();
            // Out of the state first: an installation of all rules from now on leaves these ports out.
            let endpoint = state.take_out(endpoint_id)?;
            state.leaving.insert(endpoint.id.clone(), endpoint.clone());
            endpoint
        };
        let rules = self.lock().port_rules(&endpoint);
        Some(if rules.is_empty() { Ok(()) } else { self.change_rules(|firewall| firewall.withdraw(&rules)) })
    }

    /// Removes the links of an endpoint that was withdrawn; its address and record go only when the links are gone, so
    /// that [`Networks::recover`] can try again.
    pub fn remove_links(&self, endpoint: &EndpointRecord) -> Result<()> {
        let network = self.lock().networks.get(&endpoint.network_id).cloned();
        let outcome = network.map_or(Ok(()), |network| self.driver(&network).leave(&network, endpoint));
        if outcome.is_ok() {
            self.forget(endpoint);
        }
        self.lock().leaving.remove(&endpoint.id);
        outcome
    }
}
