//! Ports of a running container come and go; its connections stay.

use std::sync::Arc;

use berth_kit::id;

use crate::{
    Error, Result,
    networks::{Networks, Shared, blocking},
    port::{Holder, PortMapping, PublishedPort, Reach},
    record::{EndpointRecord, NetworkRecord},
};

impl Networks {
    /// Publishes more ports of a container that is on `network`; returns all ports it has there now.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotConnected`], a port that is held, or what the kernel refuses; then nothing has
    /// changed.
    pub async fn publish(
        &self,
        network: &str,
        container_id: &str,
        wanted: Vec<PortMapping>,
    ) -> Result<Vec<PublishedPort>> {
        let endpoint = self.find_endpoint(network, container_id)?;
        let shared = Arc::clone(&self.shared);
        let mut endpoint = blocking(move || shared.publish(&endpoint.id, &wanted)).await?;
        match self.shared.relay(&mut endpoint).await {
            None => Ok(endpoint.ports),
            Some((port, source)) => Err(Error::PortInUse {
                host_ip: port.host_ip,
                port: port.host_port,
                protocol: port.protocol.name(),
                source,
            }),
        }
    }

    /// Withdraws the ports of a container that `is_meant` passes; returns those it keeps. Established TCP connections
    /// go on.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::NotConnected`], or what the kernel refuses.
    pub async fn unpublish(
        &self,
        network: &str,
        container_id: &str,
        is_meant: impl Fn(&PublishedPort) -> bool,
    ) -> Result<Vec<PublishedPort>> {
        let endpoint = self.find_endpoint(network, container_id)?;
        let (gone, kept): (Vec<PublishedPort>, Vec<PublishedPort>) =
            endpoint.ports.iter().partition(|port| is_meant(port));
        gone.iter().for_each(|port| self.shared.relays.close(port));
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.unpublish(&endpoint, gone)).await?;
        Ok(kept)
    }

    fn find_endpoint(&self, network: &str, container_id: &str) -> Result<EndpointRecord> {
        let found = self.inspect(network)?;
        let endpoint = found.endpoints.into_iter().find(|endpoint| endpoint.container_id == container_id);
        endpoint.ok_or_else(|| Error::NotConnected {
            container: id::short(container_id).to_owned(),
            network: found.network.name,
        })
    }
}

impl Shared {
    /// What ports of an endpoint can be led to.
    pub fn reach(&self, network: &NetworkRecord, endpoint: &EndpointRecord) -> Reach {
        Reach {
            default_ip: network.default_host_ip(),
            // What plugins will give is not known yet; most give IPv4.
            ipv4: endpoint.ipv4.is_some() || network.driver == "cni",
            ipv6: endpoint.ipv6.is_some(),
            relay: self.config.userland_proxy && self.config.relay.is_some() && network.driver == "bridge",
        }
    }

    fn publish(&self, endpoint_id: &str, wanted: &[PortMapping]) -> Result<EndpointRecord> {
        let (before, after) = {
            let mut state = self.lock();
            let gone = || Error::NotConnected { container: "container".to_owned(), network: "network".to_owned() };
            let before = state.endpoints.get(endpoint_id).cloned().ok_or_else(gone)?;
            let gone = || Error::NotConnected { container: "container".to_owned(), network: "network".to_owned() };
            let network = state.networks.get(&before.network_id).ok_or_else(gone)?;
            let reach = self.reach(network, &before);
            let holder = Holder::new(&before.container_id, &before.container_name);
            let more = state.ports.reserve(wanted, reach, &holder)?;
            let mut after = before.clone();
            after.ports.extend(more);
            state.endpoints.insert(endpoint_id.to_owned(), after.clone());
            (before, after)
        };
        let rules = self.lock().port_rules(&after);
        let outcome = self.save_endpoint(&after).and_then(|()| self.change_rules(|firewall| firewall.publish(&rules)));
        outcome.inspect_err(|_| {
            let more = after.ports[before.ports.len()..].to_vec();
            if let Err(error) = self.unpublish(&after, more) {
                tracing::warn!(%error, endpoint = endpoint_id, "ports that failed stay on record");
            }
        })?;
        Ok(after)
    }

    fn unpublish(&self, endpoint: &EndpointRecord, gone: Vec<PublishedPort>) -> Result<()> {
        let mut after = endpoint.clone();
        after.ports.retain(|port| !gone.contains(port));
        {
            let mut state = self.lock();
            // Not put back if it has left meanwhile.
            if let Some(known) = state.endpoints.get_mut(&endpoint.id) {
                known.clone_from(&after);
                state.ports.release(&gone, &endpoint.container_id);
            }
        }
        let rules = self.lock().port_rules(&EndpointRecord { ports: gone, ..endpoint.clone() });
        self.change_rules(|firewall| firewall.withdraw(&rules))?;
        self.save_endpoint(&after)
    }
}
