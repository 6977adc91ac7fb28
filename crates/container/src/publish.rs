//! `update --publish-add/--publish-rm`: ports of a container come and go while it runs; its connections stay.

use std::collections::HashMap;

use berth_network::{EndpointRecord, PublishedPort};
use berth_spec::model::{PortBinding, PortMap};

use crate::{
    Containers, Error, Result,
    endpoint::mappings,
    port,
    record::{Record, Status},
};

impl Containers {
    /// Withdraws the ports in `remove`, then publishes those in `add`. A binding without a host port in `remove` means
    /// every host port of the container's port. What is established through a withdrawn TCP port goes on.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a port that cannot be read or is not published, a port that is held, what the kernel
    /// refuses; then what was withdrawn is published again.
    pub async fn update_ports(&self, name: &str, add: PortMap, remove: PortMap) -> Result<()> {
        let container = self.shared.find(name)?;
        let _turn = container.turn.lock().await;
        let before = container.read().clone();
        if matches!(before.state.status, Status::Removing | Status::Dead) {
            let id = &before.id;
            return Err(Error::Conflict(format!("container {id} is marked for removal and cannot be updated")));
        }
        let mut after = before.clone();
        let meant = meant(&remove)?;
        forget(&mut after, &meant)?;
        learn(&mut after, &add);
        // What is wanted can be read, before anything is changed.
        mappings(&after)?;
        let more = mappings(&Record { host: of_ports(&add), ..before.clone() })?;
        if before.state.status.is_alive() {
            let way = self.publishing_endpoint(&before)?;
            let networks = &self.shared.networks;
            let is_meant = |port: &PublishedPort| meant.iter().any(|one| one.is(port));
            let kept = networks.unpublish(&way.network_id, &before.id, is_meant).await.map_err(Error::Unconnected)?;
            let gone: Vec<_> = way.ports.iter().filter(|port| !kept.contains(port)).map(again).collect();
            let outcome = networks.publish(&way.network_id, &before.id, more).await;
            if let Err(error) = outcome {
                if let Err(error) = networks.publish(&way.network_id, &before.id, gone).await {
                    tracing::warn!(%error, container = before.id, "withdrawn ports stay closed");
                }
                return Err(Error::Unconnected(error));
            }
            let mut attachment = before.network.clone();
            self.fill_ports(&after, &mut attachment)?;
            after.network = attachment;
        }
        self.shared.change(&container, |stored| {
            stored.host.port_bindings = after.host.port_bindings;
            stored.config.exposed_ports = after.config.exposed_ports;
            stored.network.ports = after.network.ports;
        })?;
        self.shared.publish(&container, "update", &[]);
        Ok(())
    }

    /// The endpoint that has the container's ports, or would have them.
    fn publishing_endpoint(&self, record: &Record) -> Result<EndpointRecord> {
        let networks = &self.shared.networks;
        let mut endpoints = networks.endpoints(&record.id);
        let can = |endpoint: &EndpointRecord| {
            networks.inspect(&endpoint.network_id).is_ok_and(|found| found.network.publishes())
        };
        endpoints.retain(can);
        endpoints.sort_by_key(|endpoint| (endpoint.ports.is_empty(), !endpoint.is_gateway));
        endpoints
            .into_iter()
            .next()
            .ok_or_else(|| Error::Invalid(format!("container {} is on no network that publishes ports", record.name)))
    }
}

/// A port to withdraw.
struct Meant {
    number: u16,
    protocol: &'static str,
    host: Option<port::HostPort>,
}

impl Meant {
    fn is(&self, published: &PublishedPort) -> bool {
        let fits = |host: &port::HostPort| {
            let everywhere = published.host_ip.is_unspecified() && host.ip.is_none_or(|ip| ip.is_unspecified());
            (everywhere || host.ip.is_none() || host.ip == Some(published.host_ip))
                && host.range.as_ref().is_none_or(|range| range.contains(&published.host_port))
        };
        self.number == published.container_port
            && self.protocol == published.protocol.name()
            && self.host.as_ref().is_none_or(fits)
    }

    /// Whether it is the binding of a record.
    fn is_binding(&self, binding: &PortBinding) -> bool {
        let (Some(meant), Ok(asked)) = (&self.host, port::parse_host(binding)) else { return true };
        (meant.ip.is_none() || meant.ip == asked.ip) && (meant.range.is_none() || meant.range == asked.range)
    }
}

fn meant(remove: &PortMap) -> Result<Vec<Meant>> {
    let mut all = Vec::new();
    for (text, bindings) in remove {
        let port = port::parse(text)?;
        let hosts: Vec<_> = bindings.iter().flatten().map(port::parse_host).collect::<Result<_>>()?;
        for number in port.range {
            if hosts.is_empty() {
                all.push(Meant { number, protocol: port.protocol, host: None });
            }
            let each = hosts.iter().map(|host| Meant { number, protocol: port.protocol, host: Some(host.clone()) });
            all.extend(each);
        }
    }
    Ok(all)
}

/// Takes bindings out of a record. Each one must be there.
fn forget(record: &mut Record, meant: &[Meant]) -> Result<()> {
    let bindings = record.host.port_bindings.get_or_insert_default();
    for one in meant {
        let key = format!("{}/{}", one.number, one.protocol);
        let absent = || Error::Invalid(format!("port {key} of container {} is not published so", record.name));
        let list = bindings.get_mut(&key).and_then(Option::as_mut).ok_or_else(absent)?;
        let count = list.len();
        list.retain(|binding| !one.is_binding(binding));
        if list.len() == count {
            return Err(absent());
        }
        if list.is_empty() {
            bindings.remove(&key);
        }
    }
    Ok(())
}

/// Adds bindings to a record, and exposes their ports.
fn learn(record: &mut Record, add: &PortMap) {
    for (port, bindings) in add {
        let known = record.host.port_bindings.get_or_insert_default().entry(port.clone()).or_default();
        known.get_or_insert_default().extend(bindings.iter().flatten().cloned());
        let exposed = record.config.exposed_ports.get_or_insert_default();
        if !exposed.contains(port) {
            exposed.push(port.clone());
        }
    }
}

fn of_ports(ports: &PortMap) -> berth_spec::model::HostConfig {
    let ports: HashMap<_, _> = ports.iter().map(|(port, bindings)| (port.clone(), bindings.clone())).collect();
    berth_spec::model::HostConfig { port_bindings: Some(ports), ..Default::default() }
}

/// The wish for a port as it was.
fn again(port: &PublishedPort) -> berth_network::PortMapping {
    berth_network::PortMapping {
        container_port: port.container_port,
        protocol: port.protocol,
        host_ip: Some(port.host_ip),
        host_ports: Some(port.host_port..=port.host_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(port: &str, host: &[(&str, &str)]) -> PortMap {
        let binding =
            |(ip, port): &(&str, &str)| PortBinding { host_ip: Some((*ip).into()), host_port: Some((*port).into()) };
        PortMap::from([(port.to_owned(), Some(host.iter().map(binding).collect()))])
    }

    #[test]
    fn what_is_meant_fits_what_is_published() {
        let published = |ip: &str, host_port| PublishedPort {
            container_port: 80,
            protocol: berth_network::Protocol::Tcp,
            host_ip: ip.parse().unwrap(),
            host_port,
        };
        let is = |remove: &PortMap, port: &PublishedPort| meant(remove).unwrap().iter().any(|one| one.is(port));
        let both = [published("0.0.0.0", 8080), published("::", 8080)];
        for remove in [map("80/tcp", &[]), map("80/tcp", &[("", "8080")]), map("80-81/tcp", &[("", "")])] {
            assert!(both.iter().all(|port| is(&remove, port)), "{remove:?}");
        }
        for remove in [map("80/udp", &[]), map("80/tcp", &[("", "8081")]), map("81/tcp", &[])] {
            assert!(!both.iter().any(|port| is(&remove, port)), "{remove:?}");
        }
        assert!(is(&map("80/tcp", &[("127.0.0.1", "")]), &published("127.0.0.1", 9)));
        assert!(!is(&map("80/tcp", &[("127.0.0.2", "")]), &published("127.0.0.1", 9)));
    }
}
