//! A container on several networks has one way out: the endpoint with the highest priority among those whose network
//! has one, and among equals that on the network whose name comes first, as Docker chooses. Its published ports
//! belong there too, so that answers go back the way the questions came.

use std::{cmp::Reverse, os::fd::AsFd};

use crate::{
    Netns, Result,
    driver::addresses,
    netlink::{Family, Refusal, Socket, link},
    networks::Shared,
    record::{EndpointRecord, NetworkRecord},
    state::State,
};

impl State {
    /// Chooses the container's way out anew; returns the endpoint that was it until now, when it changes.
    pub fn elect(&mut self, container_id: &str) -> Option<EndpointRecord> {
        let best = self.way_out(container_id, |_| true).map(|endpoint| endpoint.id.clone());
        let mut former = None;
        for endpoint in self.endpoints.values_mut().filter(|e| e.container_id == container_id) {
            let is_best = Some(&endpoint.id) == best.as_ref();
            if endpoint.is_gateway && !is_best {
                former = Some(EndpointRecord { is_gateway: false, ..endpoint.clone() });
            }
            endpoint.is_gateway = is_best;
        }
        former
    }

    /// Who takes over ports and default route when `leaving` goes.
    pub fn heir(&self, leaving: &EndpointRecord) -> Option<EndpointRecord> {
        self.way_out(&leaving.container_id, |endpoint| endpoint.id != leaving.id).cloned()
    }

    fn way_out(&self, container_id: &str, counts: impl Fn(&EndpointRecord) -> bool) -> Option<&EndpointRecord> {
        let of_container = self.endpoints.values().filter(|e| e.container_id == container_id && counts(e));
        let with_network = of_container.filter_map(|e| Some((e, self.networks.get(&e.network_id)?)));
        let leading_out = with_network.filter(|(endpoint, network)| leads_out(endpoint, network));
        leading_out.max_by_key(|(e, network)| (e.gateway_priority, Reverse(network.name.clone()))).map(|(e, _)| e)
    }
}

/// Whether a container's default route can go through an endpoint.
fn leads_out(endpoint: &EndpointRecord, network: &NetworkRecord) -> bool {
    network.leads_out() && endpoint.is_wired()
}

impl Shared {
    /// Chooses the container's way out anew, and sets its default route where that changes; where it does not, the kernel
    /// is left alone, which may be busy with a link that goes. A route that cannot be set
    /// is told in the log: the container goes on without.
    pub fn elect(&self, container_id: &str, netns: Option<&Netns>) {
        let (former, now) = {
            let mut state = self.lock();
            let way_out = |state: &State| {
                state.endpoints.values().find(|e| e.container_id == container_id && e.is_gateway).cloned()
            };
            let before = way_out(&state).map(|endpoint| endpoint.id);
            let former = state.elect(container_id);
            let now = way_out(&state);
            if now.as_ref().map(|endpoint| &endpoint.id) == before.as_ref() {
                return;
            }
            (former, now)
        };
        for endpoint in former.iter().chain(&now) {
            if let Err(error) = self.save_endpoint(endpoint) {
                tracing::warn!(%error, "an endpoint's record does not say that the default route has moved");
            }
        }
        let (Some(now), Some(netns)) = (now, netns) else { return };
        if let Err(error) = self.set_route(&now, netns) {
            tracing::warn!(%error, container = container_id, "the default route cannot be set");
        }
    }

    fn set_route(&self, endpoint: &EndpointRecord, netns: &Netns) -> Result<()> {
        let Some(network) = self.lock().networks.get(&endpoint.network_id).cloned() else { return Ok(()) };
        let namespace = netns.open()?;
        let set = || -> std::result::Result<(), Refusal> {
            let mut inside = Socket::open_in(namespace.as_fd(), Family::Route)?;
            let Some(link) = link::find(&mut inside, &endpoint.ifname)? else { return Ok(()) };
            inside.transact(addresses(link.index, &network, endpoint))
        };
        let name = endpoint.ifname.clone();
        set().map_err(|source| crate::Error::Link { act: "set the default route through", name, source })
    }

    /// `endpoint` was wired as the way out in place of `demoted`: the ports follow. Returns it as it is now.
    pub fn succeed(&self, demoted: Option<EndpointRecord>, endpoint: EndpointRecord) -> EndpointRecord {
        let Some(mut demoted) = demoted else { return endpoint };
        if let Err(error) = self.save_endpoint(&demoted) {
            tracing::warn!(%error, "an endpoint's record does not say that the default route has moved");
        }
        if demoted.ports.is_empty() {
            return endpoint;
        }
        let id = endpoint.id.clone();
        match self.move_ports(&mut demoted, endpoint.clone()) {
            Ok(now) => now,
            Err(error) => {
                tracing::warn!(%error, endpoint = id, "published ports stay where they were");
                endpoint
            }
        }
    }

    /// Moves the ports of `from` to another endpoint of the same container; returns that as it is now. Listeners of
    /// relays are closed: the caller opens them again.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn move_ports(&self, from: &mut EndpointRecord, mut to: EndpointRecord) -> Result<EndpointRecord> {
        let before = self.lock().port_rules(from);
        from.ports.iter().for_each(|port| self.relays.close(port));
        to.ports.extend(std::mem::take(&mut from.ports));
        {
            let mut state = self.lock();
            for endpoint in [&*from, &to] {
                if let Some(known) = state.endpoints.get_mut(&endpoint.id) {
                    known.ports.clone_from(&endpoint.ports);
                }
            }
        }
        self.save_endpoint(from)?;
        self.save_endpoint(&to)?;
        let after = self.lock().port_rules(&to);
        self.change_rules(|firewall| firewall.withdraw(&before).and_then(|()| firewall.publish(&after)))?;
        Ok(to)
    }
}
