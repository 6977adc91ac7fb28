//! A network of a user's own.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use berth_kit::{id, name};

use crate::{
    Error, Result,
    cidr::Cidr,
    driver::{NetworkDriver as _, cni, macvlan},
    networks::{Networks, Shared, blocking},
    record::{GatewayMode, NetworkRecord, Template},
    state::bridge_rules,
    subnet::{self, SubnetRequest},
};

/// What is in front of Docker's options of a bridge.
const BRIDGE: &str = "com.docker.network.bridge.";

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
    /// No IPv4.
    pub disable_ipv4: bool,
    /// At most one subnet of each family; from the default pools when there is none.
    pub subnets: Vec<SubnetRequest>,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// The address management's options.
    pub ipam_options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Keep these settings for other networks; containers cannot join.
    pub config_only: bool,
    /// The network of settings that this one is made from.
    pub config_from: Option<String>,
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
        if request.config_only {
            return self.create_template(request);
        }
        let (request, config_from) = self.with_template(request)?;
        let driver = driver_of(&request);
        let mut network = self.draft(&request.name, driver, None);
        network.config_from = config_from;
        if driver == "bridge" {
            network.bridge = format!("br-{}", id::short(&network.id));
        }
        network.internal = request.internal;
        network.attachable = request.attachable;
        apply_options(&mut network, &request.options)?;
        match driver {
            "bridge" => network.bridge_is_foreign = self.bridge.exists(&network)?,
            "macvlan" | "ipvlan" => macvlan::check(&mut network, &request.options)?,
            _ => network.bridge = cni::check(&request.options)?,
        }
        if driver != "cni" {
            self.choose_subnets(&request, &mut network)?;
        }
        (network.options, network.ipam_options, network.labels) =
            (request.options, request.ipam_options, request.labels);
        self.enter(&network)?;
        if let Err(error) = self.save_network(&network) {
            self.lock().remove_network(&network.id);
            return Err(error);
        }
        if self.lock().installed
            && let Some(rules) = bridge_rules(&network)
        {
            self.change_rules(|firewall| firewall.open_bridge(&rules))?;
        }
        Ok(network)
    }

    /// Keeps settings for other networks.
    fn create_template(&self, request: CreateRequest) -> Result<NetworkRecord> {
        let refuse = |why: &str| Err(Error::Invalid { field: "ConfigOnly", why: why.to_owned() });
        if request.config_from.is_some() {
            return refuse("a configuration network cannot depend on another configuration network");
        }
        if request.attachable {
            return refuse("a configuration network cannot be attachable: containers do not join it");
        }
        for wanted in &request.subnets {
            // Wrong ones are told now, not when the first network is made from them.
            if wanted.is_ipv6() {
                subnet::parse::<Ipv6Addr>(wanted).map(drop)
            } else {
                subnet::parse::<Ipv4Addr>(wanted).map(drop)
            }?;
        }
        let mut network = self.draft(&request.name, "null", None);
        network.template = Some(Template {
            subnets: request.subnets,
            enable_ipv6: request.enable_ipv6,
            disable_ipv4: request.disable_ipv4,
            internal: request.internal,
        });
        (network.options, network.ipam_options, network.labels) =
            (request.options, request.ipam_options, request.labels);
        self.enter(&network)?;
        self.save_network(&network).inspect_err(|_| {
            self.lock().remove_network(&network.id);
        })?;
        Ok(network)
    }

    /// The request with the settings of the network that it names; its name too.
    fn with_template(&self, mut request: CreateRequest) -> Result<(CreateRequest, String)> {
        let Some(name) = request.config_from.clone().filter(|name| !name.is_empty()) else {
            return Ok((request, String::new()));
        };
        let refuse = |why: String| Err(Error::Invalid { field: "ConfigFrom", why });
        let found = self.lock().resolve(&name)?.clone();
        let Some(template) = found.template else {
            return refuse(format!("{name} is not a configuration network: make one with --config-only"));
        };
        if !request.subnets.is_empty() || !request.ipam_options.is_empty() || !request.options.is_empty() {
            return refuse(
                "user specified configurations are not supported if the network depends on a configuration network"
                    .to_owned(),
            );
        }
        request.subnets = template.subnets;
        request.enable_ipv6 |= template.enable_ipv6;
        request.disable_ipv4 |= template.disable_ipv4;
        request.internal |= template.internal;
        (request.options, request.ipam_options) = (found.options, found.ipam_options);
        // Labels of its own come on top.
        let own = std::mem::replace(&mut request.labels, found.labels);
        request.labels.extend(own);
        Ok((request, found.name))
    }

    fn choose_subnets(&self, request: &CreateRequest, network: &mut NetworkRecord) -> Result<()> {
        let find = |ipv6| {
            let mut of_family = request.subnets.iter().filter(move |subnet| subnet.is_ipv6() == ipv6);
            (of_family.next().cloned().unwrap_or_default(), of_family.next().is_some())
        };
        let (wanted, more) = find(false);
        let (wanted6, more6) = find(true);
        if more || more6 {
            let why = "a network has one subnet of each family".to_owned();
            return Err(Error::Invalid { field: "IPAM.Config", why });
        }
        let ipv6 = request.enable_ipv6 || wanted6.subnet.is_some();
        if request.disable_ipv4 && !ipv6 {
            let why = "IPv4 or IPv6 must be enabled".to_owned();
            return Err(Error::Invalid { field: "EnableIPv4", why });
        }
        if !request.disable_ipv4 {
            network.subnet = match subnet::parse(&wanted)? {
                Some(subnet) => Some(subnet),
                None => Some(self.free_subnet(&network.bridge)?),
            };
        }
        if ipv6 {
            network.subnet6 = match subnet::parse(&wanted6)? {
                Some(subnet) => Some(subnet),
                None => Some(self.free_subnet6(&network.bridge)?),
            };
        }
        Ok(())
    }

    /// Takes the network in unless another one came first.
    fn enter(&self, network: &NetworkRecord) -> Result<()> {
        let mut state = self.lock();
        if state.has_name(&network.name) {
            return Err(Error::NameTaken { name: network.name.clone() });
        }
        for other in state.networks.values() {
            if let (Some(ours), Some(theirs)) = (&network.subnet, &other.subnet) {
                apart(ours.subnet, theirs.subnet, &other.name)?;
            }
            if let (Some(ours), Some(theirs)) = (&network.subnet6, &other.subnet6) {
                apart(ours.subnet, theirs.subnet, &other.name)?;
            }
            if network.driver == "bridge" && network.bridge == other.bridge {
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
        // A name without meaning there, which clients send all the same.
        _ if request.config_only => Ok(()),
        "bridge" | "" | "default" | "macvlan" | "ipvlan" | "cni" => Ok(()),
        driver @ ("host" | "null") => {
            let why = format!("only one instance of \"{driver}\" network is allowed");
            Err(Error::Invalid { field: "Driver", why })
        }
        "overlay" => Err(Error::Invalid {
            field: "Driver",
            why: "an overlay network needs a cluster, and this engine is none: use bridge, macvlan, ipvlan or cni"
                .to_owned(),
        }),
        driver => Err(Error::NoDriver { driver: driver.to_owned() }),
    }
}

fn driver_of(request: &CreateRequest) -> &'static str {
    match request.driver.as_deref() {
        Some("macvlan") => "macvlan",
        Some("ipvlan") => "ipvlan",
        Some("cni") => "cni",
        _ => "bridge",
    }
}

fn apart<A: crate::cidr::Address>(ours: Cidr<A>, theirs: Cidr<A>, holder: &str) -> Result<()> {
    if ours.overlaps(theirs) {
        return Err(Error::Overlap { subnet: ours.to_string(), holder: holder.to_owned() });
    }
    Ok(())
}

fn apply_options(network: &mut NetworkRecord, options: &BTreeMap<String, String>) -> Result<()> {
    for (key, value) in options {
        if key == "com.docker.network.driver.mtu" {
            let mtu = value.parse().ok().filter(|mtu| (68..=65535).contains(mtu));
            network.mtu = mtu.ok_or_else(|| wrong("com.docker.network.driver.mtu", value))?;
        }
        // Options of other drivers and later versions are kept and have no effect, as with Docker.
        let Some(key) = key.strip_prefix(BRIDGE).filter(|_| network.driver == "bridge") else { continue };
        match key {
            "name" => network.bridge = link_name(value)?,
            "enable_icc" => network.icc = switch("com.docker.network.bridge.enable_icc", value)?,
            "enable_ip_masquerade" => {
                network.masquerade = switch("com.docker.network.bridge.enable_ip_masquerade", value)?;
            }
            "inhibit_ipv4" => network.inhibit_ipv4 = switch("com.docker.network.bridge.inhibit_ipv4", value)?,
            "host_binding_ipv4" => {
                let address = value.parse();
                network.host_binding_ip =
                    address.map_err(|_| wrong("com.docker.network.bridge.host_binding_ipv4", value))?;
            }
            "gateway_mode_ipv4" => {
                network.gateway_mode = gateway_mode("com.docker.network.bridge.gateway_mode_ipv4", value, network)?;
            }
            "gateway_mode_ipv6" => {
                network.gateway_mode6 = gateway_mode("com.docker.network.bridge.gateway_mode_ipv6", value, network)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn gateway_mode(field: &'static str, value: &str, network: &NetworkRecord) -> Result<GatewayMode> {
    match value {
        "" | "nat" => Ok(GatewayMode::Nat),
        "nat-unprotected" => Ok(GatewayMode::NatUnprotected),
        "routed" => Ok(GatewayMode::Routed),
        "isolated" if network.internal => Ok(GatewayMode::Isolated),
        "isolated" => {
            let why = "gateway mode 'isolated' can only be used for an internal network".to_owned();
            Err(Error::Invalid { field, why })
        }
        _ => Err(Error::Invalid { field, why: format!("unknown gateway mode {value}") }),
    }
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

fn wrong(field: &'static str, value: &str) -> Error {
    Error::Invalid { field, why: format!("invalid value {value:?}") }
}
