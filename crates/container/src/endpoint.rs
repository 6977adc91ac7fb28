//! A container's place on its networks: what it asks for, and what inspect shows of what it got.

use std::collections::BTreeMap;

use berth_network::{AttachRequest, Endpoint, Netns, PortMapping};
use berth_spec::model::EndpointSettings;

use crate::{
    Containers, Error, Result,
    oci_spec::{Joined, Namespaces},
    port,
    record::{Attachment, Binding, Record},
};

impl Containers {
    /// Attaches a new network namespace to the record's networks.
    pub(crate) async fn attach_endpoints(
        &self,
        record: &Record,
        namespaces: &Namespaces,
        pid: u32,
    ) -> Result<Attachment> {
        let mut attachment = Attachment::default();
        match namespaces.network {
            Joined::Of(_) => return Ok(attachment),
            Joined::Host => {
                attachment.networks.insert("host".to_owned(), self.shown("host").await);
                return Ok(attachment);
            }
            Joined::New => {}
        }
        let mode = record.network_mode();
        let mut names: Vec<&str> = vec![mode];
        names.extend(record.endpoints.keys().map(String::as_str).filter(|name| *name != mode && *name != "default"));
        for (index, name) in names.iter().enumerate() {
            let asked = record.endpoints.get(*name).or_else(|| record.endpoints.get("default").filter(|_| index == 0));
            let ports = if index == 0 { mappings(record)? } else { Vec::new() };
            let endpoint = self.attach_one(record, name, asked.cloned().unwrap_or_default(), ports, pid).await?;
            publish(&mut attachment.ports, &endpoint);
            attachment.networks.insert(endpoint.network_name.clone(), settings(&endpoint, asked));
        }
        for exposed in record.config.exposed_ports.iter().flatten() {
            for port in each(exposed)? {
                attachment.ports.entry(port).or_default();
            }
        }
        if mode == "none" {
            attachment.ports.clear();
        }
        Ok(attachment)
    }

    async fn attach_one(
        &self,
        record: &Record,
        network: &str,
        asked: EndpointSettings,
        ports: Vec<PortMapping>,
        pid: u32,
    ) -> Result<Endpoint> {
        let invalid = |field: &str, text: &str| Error::Invalid(format!("invalid {field}: {text}"));
        let mac_text = asked.mac_address.clone().filter(|text| !text.is_empty());
        let mac = mac_text
            .map(|text| berth_network::record::parse_mac(&text).ok_or_else(|| invalid("MAC address", &text)))
            .transpose()?;
        let address = asked.ipam_config.and_then(|ipam| ipam.ipv4_address).filter(|text| !text.is_empty());
        let ipv4 = address.map(|text| text.parse().map_err(|_| invalid("IPv4 address", &text))).transpose()?;
        let request = AttachRequest {
            container_id: record.id.clone(),
            container_name: record.name.clone(),
            network: network.to_owned(),
            netns: Netns::Pid(pid),
            mac,
            ipv4,
            aliases: asked.aliases.unwrap_or_default(),
            ports,
        };
        self.shared.networks.attach(request).await.map_err(Error::Network)
    }

    async fn shown(&self, network: &str) -> EndpointSettings {
        let id = self.shared.networks.inspect(network).map(|found| found.network.id).unwrap_or_default();
        EndpointSettings { network_id: Some(id), ..EndpointSettings::default() }
    }
}

/// Every single port of a specification, as `80/tcp`.
fn each(text: &str) -> Result<Vec<String>> {
    let port = port::parse(text)?;
    Ok(port.range.clone().map(|number| format!("{number}/{}", port.protocol)).collect())
}

/// The ports that a record wants published.
fn mappings(record: &Record) -> Result<Vec<PortMapping>> {
    let mut wanted = Vec::new();
    for (text, bindings) in record.host.port_bindings.iter().flatten() {
        let port = port::parse(text)?;
        for binding in bindings.iter().flatten() {
            let host = port::parse_host(binding)?;
            let single = port.range.clone().count() == 1;
            for (offset, number) in port.range.clone().enumerate() {
                // A range onto a range of the same length goes port by port; one port may take any of a range.
                let host_ports = host.range.clone().map(|range| {
                    let nth = range.start().saturating_add(u16::try_from(offset).unwrap_or(u16::MAX));
                    if single { range } else { nth..=nth }
                });
                wanted.push(mapping(number, port.protocol, host.ip, host_ports)?);
            }
        }
    }
    if record.host.publish_all_ports.unwrap_or(false) {
        for text in record.config.exposed_ports.iter().flatten() {
            let port = port::parse(text)?;
            for number in port.range {
                let fixed = wanted
                    .iter()
                    .any(|one: &PortMapping| one.container_port == number && one.protocol.name() == port.protocol);
                if !fixed {
                    wanted.push(mapping(number, port.protocol, None, None)?);
                }
            }
        }
    }
    Ok(wanted)
}

fn mapping(
    container_port: u16,
    protocol: &str,
    host_ip: Option<std::net::IpAddr>,
    host_ports: Option<std::ops::RangeInclusive<u16>>,
) -> Result<PortMapping> {
    let protocol = protocol.parse().map_err(Error::Network)?;
    Ok(PortMapping { container_port, protocol, host_ip, host_ports })
}

fn publish(ports: &mut BTreeMap<String, Vec<Binding>>, endpoint: &Endpoint) {
    for published in &endpoint.published {
        let key = format!("{}/{}", published.container_port, published.protocol);
        let binding = Binding { host_ip: published.host_ip.to_string(), host_port: published.host_port };
        ports.entry(key).or_default().push(binding);
    }
}

fn settings(endpoint: &Endpoint, asked: Option<&EndpointSettings>) -> EndpointSettings {
    let text = |address: Option<std::net::Ipv4Addr>| address.map(|address| address.to_string()).unwrap_or_default();
    EndpointSettings {
        network_id: Some(endpoint.network_id.clone()),
        endpoint_id: Some(endpoint.endpoint_id.clone()),
        gateway: Some(text(endpoint.gateway)),
        ip_address: Some(text(endpoint.ipv4)),
        ip_prefix_len: Some(i64::from(endpoint.prefix)),
        mac_address: Some(endpoint.mac.clone()),
        ..asked.cloned().unwrap_or_default()
    }
}
