//! A machine on the engine's networks: as any container, by an id of its own.

use std::net::IpAddr;

use berth_network::{AttachRequest, Endpoint, Netns};

use crate::{Result, definition::parse_port, identity::parse_mac, inspect, machines::Shared, record::Definition, seed};

impl Shared {
    /// Joins the monitor's namespace to the machine's networks, device by device; tells what each was given.
    pub async fn attach(&self, machine: &Definition, pid: i32) -> Result<Vec<seed::Address>> {
        let mut addresses = Vec::new();
        let netns = Netns::Pid(u32::try_from(pid).unwrap_or(0));
        for nic in machine.networks.iter().filter(|nic| !nic.user) {
            let mut request = AttachRequest::new(&machine.id(), &machine.name, &nic.network, netns.clone());
            request.mac = Some(parse_mac(&nic.mac)?);
            request.ipv4 = nic.ipv4;
            request.ports = nic.ports.iter().map(|port| parse_port(port)).collect::<Result<_>>()?;
            request.host_name.clone_from(&machine.name);
            addresses.push(self.address(&self.networks.attach(request).await?));
        }
        Ok(addresses)
    }

    /// Takes a machine off all networks; what fails is logged, and found at the daemon's next start.
    pub async fn detach(&self, machine: &Definition) {
        if let Err(error) = self.networks.detach(&machine.id()).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(machine = machine.name, error, "a machine's links stay");
        }
        self.networks.settle().await;
    }

    fn address(&self, endpoint: &Endpoint) -> seed::Address {
        let ipv4 = endpoint.ipv4.map(|address| (IpAddr::from(address), endpoint.prefix));
        let ipv6 = endpoint.ipv6.map(|address| (IpAddr::from(address), endpoint.prefix6));
        let gateways = [endpoint.gateway.map(IpAddr::from), endpoint.gateway6.map(IpAddr::from)];
        let dns = if endpoint.dns.is_empty() { self.config.dns.clone() } else { endpoint.dns.clone() };
        seed::Address {
            mac: endpoint.mac.clone(),
            addresses: ipv4.into_iter().chain(ipv6).collect(),
            gateways: gateways.into_iter().flatten().collect(),
            dns,
        }
    }

    /// Where a machine is on the engine's networks right now.
    pub fn addresses(&self, machine: &Definition) -> Vec<inspect::Address> {
        let networks = machine.networks.iter().filter(|nic| !nic.user);
        let found = networks.filter_map(|nic| self.networks.endpoint(&nic.network, &machine.id()).ok());
        found
            .map(|endpoint| inspect::Address {
                network: endpoint.network_name,
                mac: endpoint.mac,
                ipv4: endpoint.ipv4.map_or_else(String::new, |address| address.to_string()),
                ipv6: endpoint.ipv6.map_or_else(String::new, |address| address.to_string()),
            })
            .collect()
    }
}
