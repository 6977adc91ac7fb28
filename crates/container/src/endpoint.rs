//! A container's place on its networks: what it asks for, and what inspect shows of what it got.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use berth_network::{AttachRequest, Endpoint, Netns, PortMapping, record::parse_mac};
use berth_spec::model::EndpointSettings;

use crate::{
    Containers, Error, Result,
    oci_spec::{Joined, Namespaces},
    port,
    record::{Attachment, Binding, Record},
};

impl Containers {
    /// Spells out a new record's networks, as inspect shows them: the mode's own network is always among them, and each
    /// goes by its name. A network that does not exist yet keeps the name it was given.
    ///
    /// # Errors
    /// [`Error::Invalid`] with Docker's text for settings that a network cannot have.
    pub(crate) fn settle_networks(&self, record: &mut Record) -> Result<()> {
        let networks = &self.shared.networks;
        let asked = std::mem::take(&mut record.endpoints);
        if record.network_mode().starts_with("container:") {
            return Ok(());
        }
        if matches!(record.host.network_mode.as_deref(), None | Some("" | "default")) {
            let default = if networks.inspect("bridge").is_ok() { "bridge" } else { "none" };
            record.host.network_mode = Some(default.to_owned());
        }
        let named = |name: &str| networks.inspect(name).map_or_else(|_| name.to_owned(), |found| found.network.name);
        let own = named(record.network_mode());
        for (name, settings) in asked {
            let name = if name == "default" { own.clone() } else { named(&name) };
            record.endpoints.insert(name, settings);
        }
        record.endpoints.entry(own).or_default();
        for (name, settings) in &mut record.endpoints {
            self.check_endpoint(name, settings)?;
            settings.network_id = networks.inspect(name).ok().map(|found| found.network.id);
        }
        Ok(())
    }

    /// Refuses what a network cannot give.
    pub(crate) fn check_endpoint(&self, network: &str, asked: &EndpointSettings) -> Result<()> {
        let refuse = |why: &str| Err(Error::Invalid(format!("invalid endpoint settings:\n{why}")));
        let own = !matches!(network, "bridge" | "host" | "none");
        let wants = Wanted::of(asked)?;
        if !own && (wants.ipv4.is_some() || wants.ipv6.is_some()) {
            return refuse("user specified IP address is supported on user defined networks only");
        }
        if !own && asked.aliases.as_ref().is_some_and(|aliases| !aliases.is_empty()) {
            return refuse("network-scoped aliases are only supported for user-defined networks");
        }
        Ok(())
    }

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
                let id = self.shared.networks.inspect("host").map(|found| found.network.id).unwrap_or_default();
                let shown = EndpointSettings { network_id: Some(id), ..EndpointSettings::default() };
                attachment.networks.insert("host".to_owned(), complete(shown));
                return Ok(attachment);
            }
            Joined::New => {}
        }
        let names = order(record);
        let holder = self.port_holder(record, &names);
        for name in &names {
            let asked = record.endpoints.get(*name).cloned().unwrap_or_default();
            let ports = if holder == Some(*name) { mappings(record)? } else { Vec::new() };
            let endpoint = self.attach_one(record, name, &asked, ports, pid).await?;
            attachment.networks.insert(endpoint.network_name.clone(), settings(&endpoint, asked, record));
        }
        if names.is_empty() {
            self.bring_up_loopback(record, pid).await?;
        }
        self.fill_ports(record, &mut attachment)?;
        Ok(attachment)
    }

    /// A container that was taken off all its networks still has its loopback.
    async fn bring_up_loopback(&self, record: &Record, pid: u32) -> Result<()> {
        self.attach_one(record, "none", &EndpointSettings::default(), Vec::new(), pid).await?;
        self.shared.networks.disconnect("none", &record.id, None).await.map_err(Error::Network)
    }

    /// The ports as inspect shows them: what is published now, and what is exposed.
    pub(crate) fn fill_ports(&self, record: &Record, attachment: &mut Attachment) -> Result<()> {
        attachment.ports.clear();
        if record.network_mode() == "none" && attachment.networks.len() < 2 {
            return Ok(());
        }
        for endpoint in self.shared.networks.endpoints(&record.id) {
            for published in &endpoint.ports {
                let key = format!("{}/{}", published.container_port, published.protocol);
                let binding = Binding { host_ip: published.host_ip.to_string(), host_port: published.host_port };
                attachment.ports.entry(key).or_default().push(binding);
            }
        }
        for exposed in record.config.exposed_ports.iter().flatten() {
            for port in each(exposed)? {
                attachment.ports.entry(port).or_default();
            }
        }
        Ok(())
    }

    /// The network that a container's ports are published through: the one that will be its way out, if that can.
    fn port_holder<'a>(&self, record: &Record, names: &[&'a str]) -> Option<&'a str> {
        let priority = |name: &str| record.endpoints.get(name).and_then(|asked| asked.gw_priority).unwrap_or(0);
        let can = |name: &&&str| self.shared.networks.inspect(name).is_ok_and(|found| found.network.publishes());
        names.iter().filter(can).max_by_key(|name| (priority(name), std::cmp::Reverse(**name))).copied()
    }

    /// Joins one network.
    pub(crate) async fn attach_one(
        &self,
        record: &Record,
        network: &str,
        asked: &EndpointSettings,
        ports: Vec<PortMapping>,
        pid: u32,
    ) -> Result<Endpoint> {
        let wants = Wanted::of(asked)?;
        let request = AttachRequest {
            mac: wants.mac,
            ipv4: wants.ipv4,
            ipv6: wants.ipv6,
            aliases: asked.aliases.clone().unwrap_or_default(),
            host_name: record.config.hostname.clone().unwrap_or_default(),
            links: self.endpoint_links(asked),
            gateway_priority: asked.gw_priority.unwrap_or(0),
            driver_options: asked.driver_opts.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect(),
            ports,
            ..AttachRequest::new(&record.id, &record.name, network, Netns::Pid(pid))
        };
        self.shared.networks.attach(request).await.map_err(Error::Network)
    }
}

/// The networks in the order in which they are joined: the mode's own first, then by name.
fn order(record: &Record) -> Vec<&str> {
    let mut names: Vec<&str> = record.endpoints.keys().map(String::as_str).collect();
    let first = record.network_mode();
    names.sort_by_key(|name| (*name != first, *name));
    names
}

/// The addresses that settings ask for.
struct Wanted {
    mac: Option<[u8; 6]>,
    ipv4: Option<Ipv4Addr>,
    ipv6: Option<Ipv6Addr>,
}

impl Wanted {
    fn of(asked: &EndpointSettings) -> Result<Self> {
        let invalid = |field: &str, text: &str| Error::Invalid(format!("invalid {field}: {text}"));
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let ipam = asked.ipam_config.clone().unwrap_or_default();
        let mac = given(&asked.mac_address);
        let mac = mac.map(|text| parse_mac(&text).ok_or_else(|| invalid("MAC address", &text))).transpose()?;
        let ipv4 = given(&ipam.ipv4_address);
        let ipv4 = ipv4.map(|text| text.parse().map_err(|_| invalid("IPv4 address", &text))).transpose()?;
        let ipv6 = given(&ipam.ipv6_address);
        let ipv6 = ipv6.map(|text| text.parse().map_err(|_| invalid("IPv6 address", &text))).transpose()?;
        Ok(Self { mac, ipv4, ipv6 })
    }
}

/// Every single port of a specification, as `80/tcp`.
fn each(text: &str) -> Result<Vec<String>> {
    let port = port::parse(text)?;
    Ok(port.range.clone().map(|number| format!("{number}/{}", port.protocol)).collect())
}

/// The ports that a record wants published.
pub(crate) fn mappings(record: &Record) -> Result<Vec<PortMapping>> {
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

/// An endpoint as inspect shows it while the container runs.
pub(crate) fn settings(endpoint: &Endpoint, asked: EndpointSettings, record: &Record) -> EndpointSettings {
    let text = |address: Option<IpAddr>| address.map(|address| address.to_string());
    let own = !matches!(endpoint.network_name.as_str(), "bridge" | "host" | "none");
    complete(EndpointSettings {
        network_id: Some(endpoint.network_id.clone()),
        endpoint_id: Some(endpoint.endpoint_id.clone()),
        gateway: text(endpoint.gateway.map(IpAddr::from)),
        ip_address: text(endpoint.ipv4.map(IpAddr::from)),
        ip_prefix_len: Some(i64::from(endpoint.prefix)),
        ipv6_gateway: text(endpoint.gateway6.map(IpAddr::from)),
        global_ipv6_address: text(endpoint.ipv6.map(IpAddr::from)),
        global_ipv6_prefix_len: Some(i64::from(endpoint.prefix6)),
        mac_address: Some(endpoint.mac.clone()),
        dns_names: own.then(|| dns_names(record, &asked)),
        ..asked
    })
}

/// Names under which the others of a user's own network find the container.
fn dns_names(record: &Record, asked: &EndpointSettings) -> Vec<String> {
    let mut names = vec![record.name.clone()];
    names.extend(asked.aliases.iter().flatten().cloned());
    names.push(berth_kit::id::short(&record.id).to_owned());
    names.extend(record.config.hostname.clone().filter(|name| !name.is_empty()));
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Fills in the empty texts that clients expect.
pub(crate) fn complete(mut settings: EndpointSettings) -> EndpointSettings {
    for field in [
        &mut settings.mac_address,
        &mut settings.network_id,
        &mut settings.endpoint_id,
        &mut settings.gateway,
        &mut settings.ip_address,
        &mut settings.ipv6_gateway,
        &mut settings.global_ipv6_address,
    ] {
        field.get_or_insert_default();
    }
    for field in [&mut settings.ip_prefix_len, &mut settings.global_ipv6_prefix_len, &mut settings.gw_priority] {
        field.get_or_insert_default();
    }
    settings
}
