//! A network of a user's own.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use berth_kit::{id, name};

use crate::{
    Error, Result,
    cidr::Cidr,
    networks::{Networks, Shared, blocking},
    record::{NetworkRecord, Subnet},
    state::bridge_rules,
};

/// A subnet that a user asks for; texts as they came, so that an error can repeat them.
#[derive(Debug, Clone, Default)]
pub struct SubnetRequest {
    /// `10.1.0.0/16`.
    pub subnet: Option<String>,
    /// `10.1.0.1`.
    pub gateway: Option<String>,
    /// `10.1.5.0/24`.
    pub ip_range: Option<String>,
    /// Addresses that are never given out, by name.
    pub aux_addresses: BTreeMap<String, String>,
}

/// A network that a user asks for (`POST /networks/create`).
#[derive(Debug, Clone, Default)]
pub struct CreateRequest {
    /// Its name.
    pub name: String,
    /// `bridge` when `None`.
    pub driver: Option<String>,
    /// No way out and no way in.
    pub internal: bool,
    /// Containers may be connected by hand.
    pub attachable: bool,
    /// IPv6 beside IPv4.
    pub enable_ipv6: bool,
    /// At most one IPv4 subnet; from the default pools when there is none.
    pub subnets: Vec<SubnetRequest>,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// The address management's options.
    pub ipam_options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl Networks {
    /// Makes a network; its links come with the first container.
    ///
    /// # Errors
    /// [`Error::BadName`], [`Error::NameTaken`], [`Error::Predefined`], [`Error::NoDriver`], [`Error::NotBuilt`],
    /// [`Error::Invalid`], [`Error::Overlap`], [`Error::NoPool`].
    pub async fn create(&self, request: CreateRequest) -> Result<NetworkRecord> {
        let shared = Arc::clone(&self.shared);
        let network = blocking(move || shared.create(request)).await?;
        self.publish_network(&network, "create");
        Ok(network)
    }

    pub(crate) fn publish_network(&self, network: &NetworkRecord, action: &str) {
        let attributes = [("name", network.name.clone()), ("type", network.driver.clone())];
        let attributes = BTreeMap::from(attributes.map(|(key, value)| (key.to_owned(), value)));
        self.shared.bus.publish("network", action, &network.id, attributes);
    }
}

impl Shared {
    fn create(&self, request: CreateRequest) -> Result<NetworkRecord> {
        check(&request)?;
        if self.lock().has_name(&request.name) {
            return Err(Error::NameTaken { name: request.name });
        }
        let mut network = self.draft(&request.name, "bridge", None);
        network.bridge = format!("br-{}", id::short(&network.id));
        network.internal = request.internal;
        network.attachable = request.attachable;
        apply_options(&mut network, &request.options)?;
        let wanted = request.subnets.first().cloned().unwrap_or_default();
        let subnet = match parse_subnet(&wanted)? {
            Some(subnet) => subnet,
            None => self.free_subnet(&network.bridge)?,
        };
        network.subnet = Some(subnet);
        (network.options, network.ipam_options, network.labels) =
            (request.options, request.ipam_options, request.labels);
        self.enter(&network)?;
        if let Err(error) = self.save_network(&network) {
            self.lock().networks.remove(&network.id);
            return Err(error);
        }
        if self.lock().installed
            && let Some(rules) = bridge_rules(&network)
        {
            self.change_rules(|firewall| firewall.open_bridge(&rules))?;
        }
        Ok(network)
    }

    /// Takes the network in unless another one came first.
    fn enter(&self, network: &NetworkRecord) -> Result<()> {
        let mut state = self.lock();
        if state.has_name(&network.name) {
            return Err(Error::NameTaken { name: network.name.clone() });
        }
        for other in state.networks.values() {
            if let (Some(ours), Some(theirs)) = (&network.subnet, &other.subnet)
                && ours.subnet.overlaps(theirs.subnet)
            {
                return Err(Error::Overlap { subnet: ours.subnet, holder: other.name.clone() });
            }
            if network.bridge == other.bridge {
                let why = format!("bridge {} belongs to network {}", network.bridge, other.name);
                return Err(Error::Invalid { field: "com.docker.network.bridge.name", why });
            }
        }
        state.add_network(network.clone());
        Ok(())
    }
}

fn check(request: &CreateRequest) -> Result<()> {
    if matches!(request.name.as_str(), "bridge" | "host" | "none" | "default") {
        return Err(Error::Predefined { name: request.name.clone(), act: "created" });
    }
    if !name::is_valid(&request.name) {
        return Err(Error::BadName { name: request.name.clone() });
    }
    match request.driver.as_deref().unwrap_or("bridge") {
        "bridge" | "" | "default" => {}
        driver @ ("host" | "null") => {
            let why = format!("only one instance of \"{driver}\" network is allowed");
            return Err(Error::Invalid { field: "Driver", why });
        }
        driver @ ("macvlan" | "ipvlan" | "overlay") => {
            return Err(Error::NotBuilt { what: format!("network driver {driver}") });
        }
        driver => return Err(Error::NoDriver { driver: driver.to_owned() }),
    }
    if request.enable_ipv6 || request.subnets.iter().any(|s| s.subnet.as_ref().is_some_and(|s| s.contains(':'))) {
        return Err(Error::NotBuilt { what: "IPv6 in networks".to_owned() });
    }
    if request.subnets.len() > 1 {
        return Err(Error::Invalid { field: "IPAM.Config", why: "a bridge network has one IPv4 subnet".to_owned() });
    }
    Ok(())
}

fn apply_options(network: &mut NetworkRecord, options: &BTreeMap<String, String>) -> Result<()> {
    for (key, value) in options {
        match key.as_str() {
            "com.docker.network.bridge.name" => network.bridge = link_name(value)?,
            "com.docker.network.bridge.enable_icc" => network.icc = switch("enable_icc", value)?,
            "com.docker.network.bridge.enable_ip_masquerade" => {
                network.masquerade = switch("enable_ip_masquerade", value)?;
            }
            "com.docker.network.bridge.host_binding_ipv4" => {
                network.host_binding_ip = value.parse().map_err(|_| wrong("host_binding_ipv4", value))?;
            }
            "com.docker.network.driver.mtu" => {
                network.mtu =
                    value.parse().ok().filter(|mtu| (68..=65535).contains(mtu)).ok_or_else(|| wrong("mtu", value))?;
            }
            // Options of other drivers and later versions are kept and have no effect, as with Docker.
            _ => {}
        }
    }
    Ok(())
}

fn link_name(text: &str) -> Result<String> {
    let fits = (1..=15).contains(&text.len()) && text != "." && text != "..";
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':'));
    if fits && plain { Ok(text.to_owned()) } else { Err(wrong("com.docker.network.bridge.name", text)) }
}

fn switch(field: &'static str, value: &str) -> Result<bool> {
    match value {
        "true" | "1" | "True" | "TRUE" | "t" => Ok(true),
        "false" | "0" | "False" | "FALSE" | "f" => Ok(false),
        _ => Err(wrong(field, value)),
    }
}

/// The subnet asked for; `None` when none is.
fn parse_subnet(wanted: &SubnetRequest) -> Result<Option<Subnet>> {
    let Some(text) = wanted.subnet.as_deref().filter(|text| !text.is_empty()) else {
        return match (&wanted.gateway, &wanted.ip_range) {
            (None, None) => Ok(None),
            _ => Err(Error::Invalid { field: "IPAM.Config", why: "a gateway or range needs a subnet".to_owned() }),
        };
    };
    let subnet: Cidr = text.parse().map_err(|_| wrong("IPAM.Config.Subnet", text))?;
    if subnet.prefix() > 30 {
        let why = format!("{text}: a subnet needs room for a gateway and a container: /30 or larger");
        return Err(Error::Invalid { field: "IPAM.Config.Subnet", why });
    }
    let inside = |field: &'static str, text: &str| -> Result<Ipv4Addr> {
        match text.parse::<IpAddr>() {
            Ok(IpAddr::V4(address)) if subnet.contains(address) => Ok(address),
            Ok(_) => Err(Error::Invalid { field, why: format!("{text} is not in subnet {subnet}") }),
            Err(_) => Err(wrong(field, text)),
        }
    };
    let gateway = match wanted.gateway.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => inside("IPAM.Config.Gateway", text)?,
        None => subnet.at(1).unwrap_or(subnet.first()),
    };
    if gateway == subnet.first() || gateway == subnet.last() {
        let why = format!("{gateway} is the network or broadcast address of {subnet}");
        return Err(Error::Invalid { field: "IPAM.Config.Gateway", why });
    }
    let ip_range = match wanted.ip_range.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => {
            let range: Cidr = text.parse().map_err(|_| wrong("IPAM.Config.IPRange", text))?;
            if range.prefix() < subnet.prefix() || !subnet.contains(range.first()) {
                let why = format!("{text} is not in subnet {subnet}");
                return Err(Error::Invalid { field: "IPAM.Config.IPRange", why });
            }
            Some(range)
        }
        None => None,
    };
    let mut aux_addresses = BTreeMap::new();
    for (name, text) in &wanted.aux_addresses {
        aux_addresses.insert(name.clone(), inside("IPAM.Config.AuxiliaryAddresses", text)?);
    }
    Ok(Some(Subnet { subnet, gateway, ip_range, aux_addresses }))
}

fn wrong(field: &'static str, value: &str) -> Error {
    Error::Invalid { field, why: format!("invalid value {value:?}") }
}
